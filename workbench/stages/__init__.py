"""The door between paper and craft: one module per recipe table, each with `run(settings, inputs, run)`."""
