"""The weights that NDDR layers add, against a count by hand."""

from mtlkit.papers.nddr.overhead import overhead

CHANNELS = (64, 128, 256, 512, 512)


def test_the_printed_figures_are_one_tasks_1x1_weights_in_a_vgg_with_its_full_layers():
    lines = {line.what: line for line in overhead().lines}
    one = lines["1x1 weights of one task's layers"]
    assert one.counted == sum(2 * c * c for c in CHANNELS) == 1_220_608
    assert (one.printed, one.reading) == ("1.2", "rounded")
    assert lines["1x1 weights of all tasks' layers"].counted == 2_441_216
    norms = lines["with the scales and shifts of their batch norms"].counted - 2_441_216
    assert norms == sum(2 * 2 * c for c in CHANNELS)
    vgg = lines["one VGG-16 with its fully connected layers"]
    assert (vgg.counted, vgg.reading) == (138_357_544, "rounded")
    share = lines["one task's 1x1 weights in one such VGG-16"]
    assert (share.printed, share.reading) == ("0.8", "truncated")
    assert round(share.counted, 2) == 0.88


def test_a_page_and_a_terminal_show_the_same_figures():
    found = overhead()
    for line in found.lines:
        assert line.what in found.text()
    for text in ("1,220,608", "2,441,216", "138,357,544", "0.88 %", "truncated"):
        assert text in found.text()
        assert text in found._repr_html_()
