"""Where bits go that are to last: a session on a store, which is compared with what is asked for, resumed, and shared by processes.

`identity` says what a recording is a recording of, `resume` how far a store is, `repeats` whether the model still does the same, `session` joins them.
`ann2neo.store.schedule` says which process records which columns. Nothing is imported here, since the identity is also needed where no store is.
"""
