"""Recording a session: the queue, the thread, the files, and what could not be written.

Of ``sessions`` it imports only ``files``.
"""
