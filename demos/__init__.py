"""The chapters and the other demos, installed as data of the package: `micrograd-like demo --list`."""
