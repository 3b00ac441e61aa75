"""What the tests share: real programs, real debuggers, and the IDE's side of each of them."""
