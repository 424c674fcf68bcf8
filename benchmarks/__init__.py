"""Measurements behind the published figures. They print figures and check nothing."""
