"""Pictures hold their images, and pairs stand below each other."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from training.evaluation.distances import mirrored, nearest
from training.evaluation.pictures import beside_nearest, picture


def test_picture_holds_the_images_as_png_and_says_what_they_are(shuffled):
    image = ElementTree.fromstring(picture(shuffled[:6], 3, 'cars "drawn" & <odd>'))
    assert image.get("alt") == 'cars "drawn" & <odd>'
    data = base64.b64decode(image.get("src").removeprefix("data:image/png;base64,"))
    sheet = Image.open(io.BytesIO(data))
    assert sheet.size == (int(image.get("width")), int(image.get("height")))
    zoom = sheet.width // (3 * 32)
    pixels = np.asarray(sheet.resize((sheet.width // zoom, sheet.height // zoom), 0))
    assert (pixels[2:34, 2:34] == shuffled[0]).all()


def test_rows_alternate_between_images_and_their_nearest_photographs(shuffled):
    photographs = shuffled[:20]
    generated = np.concatenate([photographs[:4], mirrored(photographs[4:8])])
    found = nearest(generated, photographs)
    chosen = np.array([7, 0, 5, 2])
    rows = beside_nearest(generated, photographs, found, chosen, columns=2)
    assert rows.shape == (8, 32, 32, 3)
    assert (rows[[0, 1, 4, 5]] == generated[chosen]).all()
    assert (rows[[2, 3, 6, 7]] == generated[chosen]).all()  # mirrored as the copies are
