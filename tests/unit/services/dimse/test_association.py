"""Who has one of the places for associations, and for how long."""

import threading
from collections.abc import Callable

from services.dimse.arriving import ArrivingFilm, StoreRequest
from services.dimse.association import FilmAssociation, FilmEntity

SECONDS = 60.0


def no_film(_: StoreRequest) -> ArrivingFilm:
    raise AssertionError("nobody sends anything here")


class Asking(FilmAssociation):
    """An association without a network, which asks for a place as one does that is negotiated, and then lives on."""

    def __init__(self, entity: FilmEntity, goes_on: Callable[["Asking"], object]) -> None:
        super().__init__(entity, no_film, lambda: False)
        self.counted = 0
        self._goes_on = goes_on

    def run(self) -> None:
        self.counted = len(self.ae.active_associations)
        self._goes_on(self)


def entity_of(places: int) -> FilmEntity:
    entity = FilmEntity("US")
    entity.maximum_associations = places
    return entity


def asked(entity: FilmEntity) -> int:
    """Return how many there are, as one association counts that asks now and is gone when this returns."""
    association = Asking(entity, lambda _: None)
    association.start()
    association.join(SECONDS)
    return association.counted


def test_of_many_that_ask_before_any_is_established_as_many_have_a_place_as_there_are() -> None:
    together = threading.Barrier(6)
    entity = entity_of(places=2)
    associations = [Asking(entity, lambda _: together.wait(SECONDS)) for _ in range(5)]
    for association in associations:
        association.start()
    together.wait(SECONDS)
    for association in associations:
        association.join(SECONDS)
    # pynetdicom lets in who counts no more than the places.
    assert sorted(association.counted for association in associations) == [1, 2, 3, 3, 3]


def test_a_place_is_free_once_its_association_has_ended() -> None:
    entity = entity_of(places=1)
    assert [asked(entity) for _ in range(3)] == [1, 1, 1]


def test_a_place_is_free_once_its_association_is_released_though_its_thread_goes_on() -> None:
    entity, has_asked, may_release, is_released, over = entity_of(1), *(threading.Event() for _ in range(4))

    def go_on(association: Asking) -> None:
        has_asked.set()
        may_release.wait(SECONDS)
        association.acse.send_release(is_response=True)
        is_released.set()
        over.wait(SECONDS)

    first = Asking(entity, go_on)
    first.start()
    assert has_asked.wait(SECONDS)
    assert asked(entity) == 2, "one too many"
    may_release.set()
    assert is_released.wait(SECONDS)
    assert asked(entity) == 1
    over.set()
    first.join(SECONDS)
