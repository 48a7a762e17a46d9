"""A text that says which output stands for which folder: read, refused, applied to labels."""

import numpy as np
import pytest
import small_data

from elq_ref.datasets.class_index import of_outputs, read_class_index
from elq_ref.errors import FormatError


def test_lines_name_a_folder_and_an_output(tmp_path):
    path = tmp_path / "index.txt"
    path.write_text("# ImageNet's\n\n0 tench\nenglish_springer 217\nchain saw\t491\n482,cassette_player\n2007 2008\n")
    wanted = {"tench": 0, "english_springer": 217, "chain saw": 491, "cassette_player": 482, "2007": 2008}
    assert read_class_index(path) == wanted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no line NAME INDEX"),
        (b"# nothing\n", "no line NAME INDEX"),
        (b"tench\n", "line 1 is 'tench', wanted NAME INDEX"),
        (b"a 1\nb -1\n", "line 2 is 'b -1', wanted NAME INDEX"),
        (b"a 1\na 2\n", "line 2 has the class 'a' or the output 2 once more"),
        (b"a 1\nb 1\n", "line 2 has the class 'b' or the output 1 once more"),
        (b"\xff\xfe", "is no text of lines NAME INDEX"),
    ],
)
def test_anything_else_is_refused(content, said, tmp_path):
    path = tmp_path / "index.txt"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said):
        read_class_index(path)


def test_labels_become_outputs():
    data = small_data.numbered(3)
    outputs = tuple(f"class {k}" for k in range(9))
    found = of_outputs(data, {"2": 0, "0": 8, "1": 4, "elsewhere": 5}, outputs)
    assert found.labels.tolist() == [8, 4, 0]
    assert found.labels.dtype == np.int64
    assert found.classes == outputs
    with pytest.raises(ValueError, match="does not name 1, 2, of n"):
        of_outputs(data, {"0": 1}, outputs)
    with pytest.raises(ValueError, match="has 1 9: the network has 9 outputs, from 0"):
        of_outputs(data, {"0": 1, "1": 9, "2": 3}, outputs)
