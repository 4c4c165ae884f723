internal import Simulation

print("usage: simulate COMMAND")
