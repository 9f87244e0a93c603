"""What a figure shows, before anyone draws it: neutral values that each drawer reads."""

from dataclasses import dataclass, field

from interlock.figures.palette import Role


@dataclass(frozen=True)
class Mark:
    """One estimate on a figure; `note` is what hovering adds to its numbers."""

    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """A title with its unit, and the range; an end that is None follows the data."""

    title: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Marks of one kind, one per label of the figure; None where nothing was measured."""

    name: str
    role: Role
    marks: tuple[Mark | None, ...]


@dataclass(frozen=True)
class Band:
    """A range shaded behind the bars, such as what everything that is not shown does."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Bars:
    """Horizontal bars with intervals: categories, or places in order of rank."""

    labels: tuple[str, ...]
    series: tuple[Series, ...]
    axis: Axis
    band: Band | None = None


@dataclass(frozen=True)
class Facet:
    """One heat map: rows of cells from top to bottom; None where nothing was measured."""

    title: str
    cells: tuple[tuple[Mark | None, ...], ...]


@dataclass(frozen=True)
class Heat:
    """Heat maps that share rows, columns and one colour scale; facets fill `across` columns."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    facets: tuple[Facet, ...]
    x: Axis
    y: Axis
    colour: Axis
    across: int = 1
    diverging: bool = True
    places: int = 2


@dataclass(frozen=True)
class Cloud:
    """Matched random sets as stacked dots, with the sets found marked among them."""

    random: tuple[Mark, ...]
    found: tuple[tuple[str, Mark], ...]
    axis: Axis


@dataclass(frozen=True)
class Line:
    """Estimates against a number; `band` shades their intervals."""

    name: str
    role: Role
    x: tuple[float, ...]
    marks: tuple[Mark, ...]
    band: bool = True


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a `Lines` figure; `level` is a height to compare the lines with."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    level: float | None = None


@dataclass(frozen=True)
class Lines:
    """Panels in rows of `across`; `heights` are the rows' relative heights."""

    panels: tuple[Panel, ...]
    across: int
    heights: tuple[float, ...]


@dataclass(frozen=True)
class Node:
    """A component of a circuit, at a depth of the network; None where it was not measured alone."""

    name: str
    depth: float
    mark: Mark | None


@dataclass(frozen=True)
class Arrow:
    """An edge between two nodes, given by their places among the nodes."""

    source: int
    target: int
    mark: Mark


@dataclass(frozen=True)
class Graph:
    """Components as nodes by depth, effects as edges between them."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    depth: Axis


@dataclass(frozen=True)
class Dot:
    """One thing measured twice; `name` is what hovering calls it."""

    name: str
    x: Mark
    y: Mark


@dataclass(frozen=True)
class Dots:
    """Things of one kind; `joined` draws a line through them in their order."""

    name: str
    role: Role
    dots: tuple[Dot, ...]
    joined: bool = False


@dataclass(frozen=True)
class Plane:
    """Two estimates of each thing against each other, with both intervals."""

    groups: tuple[Dots, ...]
    x: Axis
    y: Axis


@dataclass(frozen=True)
class Word:
    """One token of a text as it is written, and its number."""

    text: str
    mark: Mark


@dataclass(frozen=True)
class Passage:
    """A text with a number for every token; passages in a row with one title share it."""

    title: str
    note: str
    words: tuple[Word, ...]

    @property
    def heading(self) -> str:
        """What stands above it."""
        return f"{self.title} · {self.note}" if self.note else self.title


@dataclass(frozen=True)
class Words:
    """Texts written out, every token shaded by its number."""

    passages: tuple[Passage, ...]
    colour: Axis
    diverging: bool = True


Form = Bars | Heat | Cloud | Lines | Graph | Plane | Words


@dataclass(frozen=True)
class Figure:
    """A figure and everything a reader must know to trust it.

    Attributes:
        id: stable name, also the file name of a printed figure.
        title: what is shown.
        question: what the figure answers.
        reading: how to read it, and what was left out.
        n: what the numbers rest on.
        interval: what the intervals are.
        control: what the effect is compared with.
        form: what to draw.
        table: the table that holds the numbers.
    """

    id: str
    title: str
    question: str
    reading: str
    n: str
    interval: str
    control: str
    form: Form = field(repr=False)
    table: str

    @property
    def caption(self) -> str:
        """Everything below the figure, as one text."""
        return f"{self.reading} {self.n} Interval: {self.interval} Control: {self.control}"
