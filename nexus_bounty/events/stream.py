"""Who listens, and what is told to whom.

An observer is told of an event if it is registered in this process, was given to the client or
store that the event comes from, or to an operation around it: each once, in the order of time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import Context, ContextVar, copy_context
from inspect import iscoroutinefunction
from types import BuiltinMethodType, MethodType, MethodWrapperType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar, overload

from nexus_bounty.events.careful_logger import CarefulLogger, is_mishap
from nexus_bounty.events.types import Event, OperationInfo
from nexus_bounty.inherited import inherited, lay_aside, take_up
from nexus_bounty.weak_memory import WeakMemory

P = ParamSpec("P")
E = TypeVar("E", bound=Event)
E2 = TypeVar("E2", bound=Event)
E3 = TypeVar("E3", bound=Event)


class Observer(Protocol):
    """Anything that can be called with an event, such as a function of one argument.

    It is called at once, in the thread and task in which the event happens: it must be quick, and
    must not wait for anything. An observer with an attribute `wants`, an event type or a collection
    of them, is told of these alone.
    """

    def __call__(self, event: Event, /) -> object:
        """Be told of `event`; what this returns is of no account."""


Observers = tuple[Observer, ...]

logger: Final = CarefulLogger("nexus_bounty")


class Around:
    """What is under way, and the observers that it and those around it were given.

    It is an `operation`, or, without one, what is repeated by looking at how things stand; `owed`
    are the steps after a commit that were told to be owed, within it or by it. What was `before` is
    around it. A task that was started in its course may go on when it `is_over`.
    """

    __slots__ = ("before", "is_over", "observers", "operation", "owed")

    def __init__(self, operation: OperationInfo | None, observers: Observers) -> None:
        self.operation = operation
        self.observers = observers
        self.owed: frozenset[str] = frozenset()
        self.before: Around | None = None
        self.is_over = False


around: Final[ContextVar[Around | None]] = inherited("nexus_bounty_operation")
"""What was around a task when it was started, or is by now; see `under_way`."""


def under_way() -> Around | None:
    """What is around whatever happens in this task; what has ended by now is around nothing."""
    return still_under_way(around.get())


def still_under_way(what: Around | None) -> Around | None:
    """`what`, or what is around it, as far as it has not ended."""
    while what is not None and what.is_over:
        what = what.before
    return what


class Only:
    """An observer that is told of some types of event alone; see `only`."""

    __slots__ = ("__weakref__", "_observer", "wants")

    def __init__(self, observer: Callable[[Any], object], wants: Collection[type[Event]]) -> None:
        self._observer = observer
        self.wants = wants

    def __call__(self, event: Event) -> None:
        """Pass it on."""
        self._observer(event)


@overload
def only(observer: Callable[[E], object], kind: type[E], /) -> Observer: ...
@overload
def only(observer: Callable[[E | E2], object], kind: type[E], second: type[E2], /) -> Observer: ...
@overload
def only(
    observer: Callable[[E | E2 | E3], object],
    kind: type[E],
    second: type[E2],
    third: type[E3],
    /,
) -> Observer: ...
@overload
def only(
    observer: Callable[[Any], object],
    kind: type[Event],
    second: type[Event],
    third: type[Event],
    fourth: type[Event],
    /,
    *kinds: type[Event],
) -> Observer: ...
def only(observer: Callable[[Any], object], *kinds: type[Event]) -> Observer:
    """`observer`, told of events of these types alone; the others are not even built for it.

    Raises:
        TypeError: It cannot be called, or no type of event is named, or something else is.
    """
    if not kinds:
        raise TypeError(f"no type of event is named of which {observer!r} is to be told")
    _check_callable(observer)
    _check_kinds(observer, kinds)
    return Only(observer, frozenset(kinds))


class Registration:
    """An observer that is told of all that happens in this process, until it is unregistered.

    As a context manager it unregisters the observer at the end.
    """

    __slots__ = ("observer",)

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def unregister(self) -> None:
        """Tell the observer of nothing that happens from now on; again is a no-op.

        An event that is just being told, to another observer or in another thread, may reach it.
        """
        _stream.remove(self)

    def __enter__(self) -> Self:
        """The registration itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Unregister the observer."""
        self.unregister()


class _Stream:
    """The observers of this process. Whoever reads sees the old or the new ones, never half."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # `wants` is of the program, and may register others
        self._registrations: tuple[Registration, ...] = ()
        self._wanted_by_given: frozenset[type[Event]] = frozenset()
        self._faulty = WeakMemory()
        self.observers: Observers = ()

    def add(self, registration: Registration) -> None:
        with self._lock:
            self._registrations += (registration,)
            self._look_who_listens()

    def remove(self, registration: Registration) -> None:
        with self._lock:
            left = (each for each in self._registrations if each is not registration)
            self._registrations = tuple(left)
            self._look_who_listens()

    def expect(self, observers: Observers) -> None:
        """Build events for these from now on, whether or not any is registered."""
        with self._lock:
            self._wanted_by_given |= _wanted_by(observers)
            self._look_who_listens()

    def _look_who_listens(self) -> None:
        self.observers = _distinct(each.observer for each in self._registrations)
        wanted = self._wanted_by_given | _wanted_by(self.observers)
        for kind in Event.__subclasses__():
            kind.heard = kind in wanted
        Event.heard = bool(wanted)

    def excuse(self, observer: Observer, error: BaseException) -> None:
        """Log that an observer failed, the first time that it does."""
        with self._lock:
            is_new = self._faulty.add(*_parts(observer))
        if is_new:
            said = "the observer %r failed; it is told of what follows, and not complained of again"
            logger.error(said, observer, exc_info=error)


_stream: Final = _Stream()


def register(observer: Observer) -> Registration:
    """Tell `observer` of all that happens in this process, from any thread and in any.

    It is called in the thread and task in which the event happens, from the next event on: of what
    is under way it hears the end, and not the beginning.

    Raises:
        TypeError: It cannot be called, or wants what is no event type; it is not registered.
    """
    _check(observer)
    registration = Registration(observer)
    _stream.add(registration)
    return registration


def given(observers: Iterable[Observer]) -> Observers:
    """The observers that a client, a store or the operations were given, ready to be told.

    From the first on, whatever is wanted by any of them is looked into in the whole process.

    Raises:
        TypeError: One cannot be called, or wants what is no event type; none is told of anything.
    """
    kept = tuple(observers)
    for each in kept:
        _check(each)
    if kept:
        _stream.expect(kept)
    return kept


def publish(
    observers: Observers,
    kind: Callable[Concatenate[OperationInfo | None, P], Event],
    *args: P.args,
    **named: P.kwargs,
) -> None:
    """Tell of an event of type `kind`: the operation comes first, `args` and `named` after it.

    Nothing is built if nobody wants it. Whatever an observer raises is logged once and goes no
    further.
    """
    now = under_way()
    operation, more = (now.operation, now.observers) if now else (None, ())
    told = [each for each in _merged(observers, more) if _wants(each, kind)]
    if told:
        _tell(told, kind(operation, *args, **named))


def _tell(observers: Iterable[Observer], event: Event) -> None:
    failed = []
    held = lay_aside()
    try:
        for observer in observers:
            try:
                observer(event)
            except BaseException as error:
                if not is_mishap(error):
                    raise
                failed.append((observer, error))
    finally:
        take_up(held)
    for observer, mishap in failed:
        _stream.excuse(observer, mishap)


def joined(observers: Observers) -> Observers:
    """`observers`, and those of the operations around."""
    now = under_way()
    return _distinct((*observers, *now.observers)) if now else observers


def detached() -> Context:
    """A context for a task that outlives the operation that starts it: it belongs to none."""
    context = copy_context()
    context.run(around.set, None)
    return context


def _merged(observers: Observers, more: Observers) -> Observers:
    if not (observers or more):
        return _stream.observers
    return _distinct((*_stream.observers, *observers, *more))


def _distinct(observers: Iterable[Observer]) -> Observers:
    return tuple({_identity(each): each for each in observers}.values())


def _identity(observer: Observer) -> object:
    """What one observer has in common with itself, and no other, however equal it may be.

    A method is another object each time that it is looked up: those of one object are equal.
    """
    return observer if isinstance(observer, _METHODS) else id(observer)


def _parts(observer: Observer) -> tuple[object, object]:
    """What lives on while the observer is somebody's, and what else makes it the one it is."""
    if isinstance(observer, _METHODS):
        return observer.__self__, getattr(observer, "__name__", None)
    return observer, None


_METHODS: Final = (MethodType, BuiltinMethodType, MethodWrapperType)


def _check(observer: Observer) -> None:
    """Refuse what could not be told of anything, before it is among those who are.

    Raises:
        TypeError: It cannot be called, or wants what is no event type.
    """
    _check_callable(observer)
    wanted = _wanted(observer)
    if wanted is None:
        return
    if not isinstance(wanted, AbstractSet | Sequence | Mapping):
        raise TypeError(f"{observer!r} wants {wanted!r}: it must be event types")
    _check_kinds(observer, wanted)


def _check_callable(observer: object) -> None:
    if not callable(observer):
        raise TypeError(f"an observer is called with events, which {observer!r} cannot be")
    if iscoroutinefunction(observer) or iscoroutinefunction(type(observer).__call__):
        raise TypeError(f"an observer is called, and not awaited, which {observer!r} has to be")


def _check_kinds(observer: object, wanted: Collection[object]) -> None:
    for each in wanted:
        if each not in Event.__subclasses__():
            raise TypeError(f"{observer!r} wants {each!r}, which is no type of event that is told")


def _wanted(observer: Observer) -> Collection[object] | None:
    """The types of which it is told alone; `None` for all."""
    wanted = getattr(observer, "wants", None)
    return (wanted,) if isinstance(wanted, type) else wanted


def _wants(observer: Observer, kind: object) -> bool:
    """Whether it is told of these; where that cannot be found out any more, it is."""
    try:
        wanted = _wanted(observer)
        return wanted is None or kind in wanted
    except BaseException as error:
        if not is_mishap(error):
            raise
        _stream.excuse(observer, error)
        return True


def _wanted_by(observers: Observers) -> frozenset[type[Event]]:
    kinds = Event.__subclasses__()
    return frozenset(kind for kind in kinds if any(_wants(each, kind) for each in observers))
