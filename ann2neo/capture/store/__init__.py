"""Where bits go that are to last: a session on a store, which is compared with what is asked for, resumed, and shared by processes.

`identity` says what a recording is a recording of, `resume` how far a store is, `reruns` whether the model still does the same, `schedule` which process records
which columns, `session` joins them. Nothing is imported here, since the identity is also needed where no store is.
"""
