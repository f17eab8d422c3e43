"""Plans batch by batch: products, live images, ledger, plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from operator import itemgetter
from typing import TypeVar

from bc_images.bigcommerce import PAGE_SIZE, Product, StoreClient
from bc_images.bigcommerce.mapping import Record
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import FileUnavailable, NotFound, RequestRejected
from bc_images.settings import Sample
from target_bc_images.batches import Batch
from target_bc_images.changes import Action, Mode, source_key
from target_bc_images.context import EarlierRun, PlanContext
from target_bc_images.ledger import Ledger
from target_bc_images.live_images import LiveImages
from target_bc_images.matching import Pair, match, split
from target_bc_images.planning import ProductPlan, plan
from target_bc_images.product_reader import ProductReader, ReadProducts, read_image
from target_bc_images.recognise import PictureCheck, Recogniser
from target_bc_images.restore_input import RestoreInput
from target_bc_images.settings import TargetSettings

__all__ = ["Planner"]

Item = TypeVar("Item")


class Planner:
    """Reads the store and plans, batch by batch; writes nothing.

    Args:
        settings: the target's own settings.
        store: the store.
        ledger: what restores have done so far.
        live_images: looks at live pictures.
        check_sendable: raises `FileUnavailable` or `RequestRejected` for a record whose picture cannot be sent.
        earlier_run: what the report of the run says that left these records undone; None for a backup.
        ignores_refusals: plan to write, too, what the store has not taken before.

    Attributes:
        without_file_store: images to be sent, so far, of which the backup has saved the picture where nobody looks.
    """

    def __init__(
        self,
        settings: TargetSettings,
        store: StoreClient,
        ledger: Ledger,
        live_images: LiveImages,
        check_sendable: Callable[[Record], None] | None = None,
        earlier_run: EarlierRun | None = None,
        *,
        ignores_refusals: bool = False,
    ) -> None:
        self._settings = settings
        self._store = store
        self._own = store.settings.store_hash
        self._ledger = ledger
        self._live_images = live_images
        self._check_sendable = check_sendable
        self._owner_of = earlier_run.owner_of if earlier_run else {}
        self._ignores_refusals = ignores_refusals
        self._reader = ProductReader(settings, store, earlier_run.siblings if earlier_run else ())
        self._key = settings.group_key
        self.without_file_store = 0
        # Without a file store no picture can be kept, so none may be lost.
        loses = not live_images.has_file_store and check_sendable is not None and not settings.allow_data_loss
        self._backed_up: frozenset[str] | None = frozenset() if loses else None

    def batches(self, restore_input: RestoreInput, mode: Mode, sample: Sample | None = None) -> Iterator[Batch]:
        """Yield the plans for the whole input; in mode mirror, then those for products that the input empties.

        Args:
            restore_input: the input.
            mode: what may be done.
            sample: of how many live images the picture is read that needs not be read to plan.
        """
        concurrency = self._store.settings.concurrency
        check = (
            PictureCheck(self._live_images, sample, restore_input.count, concurrency) if sample is not None else None
        )
        seen: set[int] = set()
        self.without_file_store = 0
        with worker_pool(1, "read ahead") as executor:  # the next batch is read while this one is worked on
            for page in ordered_map(executor, self._reader.read, _chunks(restore_input.groups(self._key)), 2):
                if mode.deletes:
                    seen.update(page.desired)
                yield self._batch(page, self._context(mode, restore_input), check)
        if mode.deletes:
            for products in _chunks(self._products_missing_from_input(restore_input, seen)):
                context = self._context(mode, restore_input)
                context.invalid.update({product.id: product.invalid for product in products if product.invalid})
                yield Batch([plan(product.id, [], product.images, context) for product in products], context)

    def _context(self, mode: Mode, restore_input: RestoreInput) -> PlanContext:
        return PlanContext(
            self._own,
            mode,
            owner_of=dict(self._owner_of),
            backed_up=self._backed_up,
            input_is_partial=not restore_input.is_complete,
            sends_bytes=self._live_images.has_file_store,
        )

    def _products_missing_from_input(self, restore_input: RestoreInput, seen: set[int]) -> Iterator[Product]:
        """Yield the products that have images although the input, which speaks for them, has none."""
        for product in self._store.scan():
            has_images = product.images or product.invalid
            if has_images and product.id not in seen and restore_input.covers(product.id, product.sku, self._key):
                yield product

    def _batch(self, page: ReadProducts, context: PlanContext, check: PictureCheck | None) -> Batch:
        desired, existing, invalid, plans, groups = page
        context.invalid.update(invalid)
        self._load_context(desired, existing, context)
        if check is not None and context.mode.updates:
            check.check(chain.from_iterable(self._pairs(page, context)), context)
        planned = {number: plan(number, records, existing[number], context) for number, records in desired.items()}
        for product_id in self._reject_unsendable(planned.values(), context):
            planned[product_id] = plan(product_id, desired[product_id], existing[product_id], context)
        return Batch([*plans, *planned.values()], context, groups)

    @staticmethod
    def _pairs(page: ReadProducts, context: PlanContext) -> Iterator[list[Pair]]:
        """Yield each product's records with their live images."""
        for product_id in page.desired:
            yield match(_readable_records(page.desired, product_id, context), page.existing[product_id], context)[0]

    def _load_context(
        self, desired: dict[int, list[Record]], existing: dict[int, list[Record]], context: PlanContext
    ) -> None:
        """Ask ledger, file store and store about what does not simply match by id and path."""
        context.previous_fields.update(self._ledger.load_siblings(desired, self._store.now()))
        context.unfinished.update(self._ledger.unfinished(desired))
        if not self._ignores_refusals:
            context.kept_values.update(self._ledger.kept_values(map(source_key, chain.from_iterable(desired.values()))))
        unclear = []
        for product_id, records in desired.items():
            paths = {image["id"]: image["image_file"] for image in existing[product_id]}
            differing = [
                record
                for record in records
                if record["store_hash"] != self._own or paths.get(record["id"]) != record["image_file"]
            ]
            if differing:
                context.entries.update(self._ledger.entries(map(source_key, differing), paths))
                context.owner_of.update(self._ledger.owner_of(paths))
                self._live_images.fill_from_index(differing)
                unclear.append(product_id)
        if not unclear:
            return
        if context.mode.creates:
            self._read_unlisted(unclear, desired, existing, context)
        recogniser = Recogniser(self._live_images, context)
        pairs = recogniser.compare(
            [(_readable_records(desired, number, context), existing[number]) for number in unclear]
        )
        self._ledger.recognise(pairs)
        context.entries.update(pairs)

    def _read_unlisted(
        self,
        unclear: Sequence[int],
        desired: dict[int, list[Record]],
        existing: dict[int, list[Record]],
        context: PlanContext,
    ) -> None:
        """Ask by id for images that the ledger has and the list has not: lists may lag by minutes.

        Else an image that a run has created just before would be created again.
        """
        unlisted = []
        for product_id in unclear:
            listed = {image["id"] for image in existing[product_id]}
            pairs, _ = match(_readable_records(desired, product_id, context), existing[product_id], context)
            keys = [source_key(record) for record, image in pairs if image is None]
            ids = {context.entries[key].target_id for key in keys if key in context.entries} - listed
            unlisted += [(product_id, image_id) for image_id in sorted(ids)]

        def read(place: tuple[int, int]) -> Record | None:
            with suppress(NotFound):
                return read_image(self._store, *place, context)
            return None

        if unlisted:
            concurrency = self._store.settings.concurrency
            with worker_pool(concurrency, "ask") as executor:
                for (product_id, _), image in zip(
                    unlisted, ordered_map(executor, read, unlisted, 2 * concurrency), strict=True
                ):
                    if image is not None:
                        existing[product_id] = sorted([*existing[product_id], image], key=itemgetter("id"))

    def _reject_unsendable(self, plans: Iterable[ProductPlan], context: PlanContext) -> set[int]:
        """Look at the pictures that would be sent; return the products that have some that cannot be."""
        check_sendable = self._check_sendable
        if check_sendable is None:
            return set()

        def reason(action: Action) -> str | None:
            try:
                check_sendable(action.desired or {})
            except (FileUnavailable, RequestRejected) as error:
                return str(error)
            return None

        sending = [
            action
            for planned in plans
            for action in planned.writes
            if action.sends_bytes and action.desired is not None
        ]
        if not self._live_images.has_file_store:
            self.without_file_store += sum(
                bool(action.desired and action.desired.get("file_sha256")) for action in sending
            )
        refused = set()
        concurrency = self._store.settings.concurrency
        with worker_pool(concurrency, "check") as executor:
            for action, error in zip(sending, ordered_map(executor, reason, sending, 2 * concurrency), strict=True):
                if error is not None:
                    context.rejections[action.key] = error
                    refused.add(action.product_id)
        return refused


def _readable_records(
    desired: Mapping[int, Sequence[Record]], product_id: int, context: PlanContext
) -> Sequence[Record]:
    """Return the records of a product but for those whose images are there and cannot be read."""
    return split(desired[product_id], context.invalid.get(product_id, ()), context).others


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, PAGE_SIZE)):
        yield chunk
