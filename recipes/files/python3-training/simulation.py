"""Larger programs: a queue of customers, cellular automata, a small machine, a search."""


class Event:
    def __init__(self, at, kind, who):
        self.at, self.kind, self.who = at, kind, who

    def __lt__(self, other):
        return (self.at, self.who) < (other.at, other.who)


def customers():
    import heapq
    for seed in (1, 2, 3):
        state, agenda, waiting, served, busy = seed, [], [], 0, False
        for who in range(500):
            state = (state * 69069 + 1) & 0xffffff
            heapq.heappush(agenda, Event(who * 5 + state % 7, 'comes', who))
        while agenda:
            event = heapq.heappop(agenda)
            if event.kind == 'comes':
                waiting.append(event)
            else:
                served += 1
                busy = False
            if waiting and not busy:
                first = waiting.pop(0)
                busy = True
                heapq.heappush(agenda, Event(event.at + 3 + first.who % 4, 'goes', first.who))
        assert served == 500


def life():
    width, height = 48, 32
    cells = set((x * x % 47, x * x * x % 31) for x in range(700))
    for _ in range(12):
        near = {}
        for x, y in cells:
            for dx in (-1, 0, 1):
                for dy in (-1, 0, 1):
                    if dx or dy:
                        place = ((x + dx) % width, (y + dy) % height)
                        near[place] = near.get(place, 0) + 1
        cells = set(place for place, count in near.items() if count == 3 or (count == 2 and place in cells))
    assert cells


class Machine:
    """A machine with a stack, whose programs are lists of tuples."""

    def __init__(self, code):
        self.code, self.stack, self.at, self.memory = code, [], 0, [0] * 16
        self.table = dict((name[3:], getattr(self, name)) for name in dir(self) if name.startswith('op_'))

    def op_push(self, value):
        self.stack.append(value)

    def op_add(self, _):
        right = self.stack.pop()
        self.stack[-1] += right

    def op_less(self, _):
        right = self.stack.pop()
        self.stack[-1] = self.stack[-1] < right

    def op_load(self, place):
        self.stack.append(self.memory[place])

    def op_store(self, place):
        self.memory[place] = self.stack.pop()

    def op_jump_if(self, target):
        if self.stack.pop():
            self.at = target

    def run(self):
        steps = 0
        while self.at < len(self.code):
            name, operand = self.code[self.at]
            self.at += 1
            self.table[name](operand)
            steps += 1
        return steps


def machine():
    code = [('push', 0), ('store', 0), ('push', 0), ('store', 1),
            ('load', 1), ('load', 0), ('add', None), ('store', 1),
            ('load', 0), ('push', 1), ('add', None), ('store', 0),
            ('load', 0), ('push', 2500), ('less', None), ('jump_if', 4)]
    runner = Machine(code)
    assert runner.run() == 4 + 12 * 2500 and runner.memory[1] == sum(range(2500))


def sudoku():
    puzzle = '530070000600195000098000060800060003400803001700020006060000280000419005000080079'

    def choices(board, place):
        row, column = divmod(place, 9)
        used = set(board[row * 9:row * 9 + 9]) | set(board[column::9])
        corner = row // 3 * 27 + column // 3 * 3
        for line in range(3):
            used |= set(board[corner + line * 9:corner + line * 9 + 3])
        return [digit for digit in '123456789' if digit not in used]

    def solve(board):
        empty = [(len(choices(board, place)), place) for place in range(81) if board[place] == '0']
        if not empty:
            return board
        _, place = min(empty)
        for digit in choices(board, place):
            solved = solve(board[:place] + [digit] + board[place + 1:])
            if solved:
                return solved
        return None

    for _ in range(2):
        assert ''.join(solve(list(puzzle))).startswith('534678912')


def edit_distance():
    def distance(a, b):
        previous = list(range(len(b) + 1))
        for i, x in enumerate(a):
            current = [i + 1]
            for j, y in enumerate(b):
                current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x != y)))
            previous = current
        return previous[-1]

    assert distance('kitten' * 20, 'sitting' * 20) == 60


TASKS = [customers, life, machine, sudoku, edit_distance]
