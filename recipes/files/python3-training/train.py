"""Runs every program of the training set, so that the compiler learns which paths of the interpreter are taken, and how often.

The programs are of the kinds that people run: each does its work a few times, on data that it makes itself. None looks at a clock, and none
uses random numbers but those of a generator with a fixed seed: the profile is the same each time. What they compute is checked, or a
mistake in the interpreter would be trained for.
"""

PROGRAMS = 'containers control arithmetic objects simulation text data modern compiling'


def main():
    for name in PROGRAMS.split():
        program = __import__(name)
        for task in program.TASKS:
            task()
        print(f'trained: {name}, {len(program.TASKS)} tasks')


if __name__ == '__main__':
    main()
