"""Rows: reading and writing them, making more of them, cleaning them and splitting them without a leak.

`dataset` is the way in: it turns a task's files into what is trained on. `formats` reads and writes files of rows,
`spans` knows where values stand in a request, `resample`, `compose`, `noise`, `templates` and `teacher` make rows,
`dedupe`, `conflicts`, `kin` and `split` keep them honest.
"""
