"""When an activation is a spike: sinks, which are shown every activation, and thresholds."""
