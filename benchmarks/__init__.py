"""Measurements behind the published figures. They print; they judge nothing."""
