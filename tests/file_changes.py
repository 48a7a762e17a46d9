"""Changes of one part of an .elq file, as functions of its tensors and its JSON object, which they change."""

import numpy as np
import pytest
from runtime_nets import decoded, encoded

from elq_ref.errors import FormatError
from elq_ref.runtime import load


def refused_in_one_line(content, change, message, path):
    """The file `content`, changed, is one FormatError of a bounded line that names `path` and matches `message`."""
    tensors, text = decoded(content)
    tensors = {name: array.copy() for name, array in tensors.items()}
    change(tensors, text)
    path.write_bytes(encoded(tensors, text))
    with pytest.raises(FormatError, match=message) as caught:
        load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert len(line) < len(str(path)) + 310


def node_of(text, name):
    """The JSON object of a node."""
    return next(node for node in text["nodes"] if node["name"] == name)


def setting(*path, to):
    """A change of one member of the JSON object; the path may go through a node by its name."""

    def change(tensors, text):
        place = text
        for key in path[:-1]:
            place = node_of(text, key) if place is text and key not in text else place[key]
        place[path[-1]] = to

    return change


def tensor(name, to):
    """A tensor as the function `to` of itself."""

    def change(tensors, text):
        tensors[name] = to(tensors[name])

    return change


def dropping(*path):
    """One member of the JSON object gone; the path as in `setting`."""

    def change(tensors, text):
        place = text
        for key in path[:-1]:
            place = node_of(text, key) if place is text and key not in text else place[key]
        del place[path[-1]]

    return change


def first(value):
    """For `tensor`: the first number becomes `value`."""

    def change(array):
        array = array.copy()
        array.flat[0] = value
        return array

    return change


def last(value):
    """For `tensor`: `value` is added to the last number."""

    def change(array):
        array = array.copy()
        array.flat[-1] += np.array(value, array.dtype)
        return array

    return change


def int8_value(name, key, to):
    """A change of one member of an int8 value."""

    def change(tensors, text):
        next(value for value in text["int8"]["values"] if value["name"] == name)[key] = to

    return change
