"""The chapters, stepped through in a terminal: they ask, and answer what is typed.

Read `script` (what a chapter is), `kernel` (where its code runs), `session` (its state before and after each step),
`reading` (what a typed line means, and what is said to it), and the two front ends, `app` and `plain`.
"""
