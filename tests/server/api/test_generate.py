"""What every protocol calls: drawn in time, encoded, and counted."""

import pytest
from drawing_client import DrawingClient, noise

from server.api.generate import INLINE_VALUES, ImageService
from server.codecs.formats import FORMATS
from server.ipc.sources import SeedRange
from server.worker.request_terms import RequestTerms


@pytest.mark.parametrize("weight", [1, INLINE_VALUES])
def test_images_that_were_drawn_in_time_are_sent_however_long_they_take_to_encode(weight):
    """The deadline is for the drawing: an answer that is thrown away would be drawn again."""
    client, form = DrawingClient(), FORMATS["raw"]._replace(weight=weight)
    service = ImageService(client, "images", FORMATS.values())
    answer = service.answer(SeedRange(7, 2), RequestTerms(timeout_s=1e-9), form)
    assert answer.body == noise([7, 8]).tobytes()
    assert answer.timings.encode_s > 1e-9
    assert client.threads == (weight > 1)
