"""Every error a user can cause: one family, so that the command line can print it without a traceback."""

from __future__ import annotations


class TunerError(Exception):
    """Something the user can put right; the message says what, where, what was expected and what to do."""


class PolicyError(TunerError):
    """A policy file or object that cannot be used as it is."""


class ModelError(TunerError):
    """A model this program cannot load, merge in or tune."""


class DataError(TunerError):
    """Audio or transcripts that cannot be used as they are."""


class SearchError(TunerError):
    """A search that cannot start, go on or be resumed."""


class BudgetError(SearchError):
    """A budget that no policy of the search space can meet."""
