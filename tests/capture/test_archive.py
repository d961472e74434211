import io
import stat
import tarfile
import zipfile

import pytest

from greenroom.capture.archive import members
from greenroom.errors import BadInput


def zipped(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def tarred(path, infos):
    with tarfile.open(path, "w:gz") as archive:
        for info, data in infos:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_members_come_in_order_and_only_the_wanted(tmp_path):
    path = zipped(tmp_path / "a.zip", [("b/x.bvh", b"1"), ("a.txt", b"2"), ("c.bvh", b"3")])
    assert list(members(path, lambda name: name.endswith(".bvh"))) == [
        ("b/x.bvh", b"1"),
        ("c.bvh", b"3"),
    ]
    path = tarred(
        tmp_path / "a.tar.gz", [(tarfile.TarInfo("d/x"), b"12"), (tarfile.TarInfo("y"), b"")]
    )
    assert list(members(path)) == [("d/x", b"12"), ("y", b"")]


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "C:/x", "..\\x", "\\\\host\\x"]
)
def test_paths_that_climb_out_are_refused_before_anything_is_read(tmp_path, name):
    path = zipped(tmp_path / "a.zip", [("good", b"1"), (name, b"2")])
    with pytest.raises(BadInput, match="climbs out"):
        next(members(path))
    with pytest.raises(BadInput, match="climbs out"):
        list(members(tarred(tmp_path / "a.tgz", [(tarfile.TarInfo(name), b"2")])))


def test_links_are_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BadInput, match="is a link"):
        list(members(zipped(tmp_path / "a.zip", [(info, b"/etc/passwd")])))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, "/etc/passwd"
        with pytest.raises(BadInput, match="is a link"):
            list(members(tarred(tmp_path / "a.tar.gz", [(link, b"")])))


def test_bombs_are_refused_by_what_they_unpack(tmp_path):
    path = zipped(tmp_path / "a.zip", [("zeros", bytes(5 << 20))])
    assert path.stat().st_size < 10_000
    with pytest.raises(BadInput, match="beyond the limit"):
        list(members(path, max_unpacked=1 << 20))
    path = zipped(tmp_path / "b.zip", [(f"z{i}", bytes(400_000)) for i in range(4)])
    with pytest.raises(BadInput, match="beyond the limit"):
        list(members(path, max_unpacked=1 << 20))


def test_encrypted_and_damaged_archives_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", [("x", b"secret" * 100)])
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    (tmp_path / "e.zip").write_bytes(data)
    with pytest.raises(BadInput, match="encrypted"):
        list(members(tmp_path / "e.zip"))
    for name, bad in (
        ("t.zip", path.read_bytes()[:-30]),
        ("g.zip", b"PK"),
        ("g.tar.gz", b"\x1f\x8bx"),
    ):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(BadInput, match="not a readable archive"):
            list(members(tmp_path / name))
    with pytest.raises(BadInput):
        list(members(tmp_path / "missing.zip"))
