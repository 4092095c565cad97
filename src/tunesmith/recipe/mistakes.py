"""Say what is wrong with a recipe: field, place, sentence, advice; all mistakes at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tunesmith.errors import RecipeError
from tunesmith.recipe.place import Place


@dataclass(frozen=True)
class Mistake:
    """One mistake: the dotted field, what is wrong with it, where it is written, what to do."""

    field: str
    what: str
    place: Place
    fix: str

    @property
    def sentence(self) -> str:
        """Field and fault in one sentence."""
        return f"{self.field}: {self.what}"

    def as_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return {**asdict(self), "place": str(self.place)}


class RecipeMistakes(RecipeError):
    """One or more mistakes, in the order of the lines they are on."""

    def __init__(self, mistakes: Iterable[Mistake], path: Path) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda one: (str(one.place.path or "~"), one.place.line)))
        if len(self.mistakes) == 1:
            only = self.mistakes[0]
            super().__init__(only.sentence, where=str(only.place), fix=only.fix)
            return
        listed = [f"\n  {one.place}: {one.sentence}\n    fix: {one.fix}" for one in self.mistakes]
        super().__init__(f"{len(self.mistakes)} mistakes{''.join(listed)}", where=str(path))
