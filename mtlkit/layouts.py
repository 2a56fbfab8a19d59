"""The folder layouts that can be read, a line each; described without importing their readers, and torch with them."""

from mtlkit.errors import InputError
from mtlkit.literals import literals

LAYOUTS = {
    "folder": "mtlkit.data.folder:Folder",
    "npy": "mtlkit.data.npy:Npy",
    "nyuv2": "mtlkit.data.nyuv2:NYUv2",
    "imagefolder": "mtlkit.data.imagefolder:ImageFolder",
    "imagenet": "mtlkit.data.torchvision_sets:ImageNet",
    "places365": "mtlkit.data.torchvision_sets:Places365",
    "oxford_pets": "mtlkit.data.torchvision_sets:OxfordPets",
    "caltech101": "mtlkit.data.torchvision_sets:Caltech101",
    "apascal": "mtlkit.data.apascal:APascal",
    "coco": "mtlkit.data.coco:Coco",
    "uecfood": "mtlkit.data.uecfood:UECFood",
    "uecfood_boxes": "mtlkit.data.uecfood:UECFoodBoxes",
    "manifest": "mtlkit.data.manifest:Manifest",
    "utkface": "mtlkit.data.utkface:UTKFace",
    "imdb_wiki": "mtlkit.data.imdb_wiki:IMDBWiki",
}
"""Layout -> the module and the class in it that reads such a folder."""


def described() -> dict[str, str]:
    """Layout -> what lies in the folder, the ``description`` of its reader."""
    found = {}
    for layout, reader in LAYOUTS.items():
        if not (description := literals(*reader.split(":")).get("description")):
            raise InputError(f"{reader} has no description of its own that is one literal string.")
        found[layout] = description
    return found
