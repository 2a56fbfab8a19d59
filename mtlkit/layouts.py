"""The folder layouts that can be read, a line each; their readers are in :mod:`mtlkit.data`, under the same names."""

LAYOUTS = {
    "folder": "image/ label/ normal/ splits/*.txt: your own data",
    "npy": "{train,val}/{image,label,depth,normal}/0.npy, ...: the layout multi-task repositories share",
    "nyuv2": "nyu_depth_v2_labeled.mat with splits.mat and classMapping40.mat: the official files",
    "imagefolder": "train/CLASS/* and val/CLASS/*: your own images with a class each",
    "imagenet": "torchvision's folders for ImageNet",
    "places365": "torchvision's folders for Places365-Standard",
    "oxford_pets": "torchvision's folders for Oxford-IIIT Pet",
    "caltech101": "torchvision's folders for Caltech-101, 30 training images a class",
    "apascal": "JPEGImages/ and attribute_data/: objects of PASCAL VOC 2008 with boxes and attributes",
    "coco": "annotations/*.json and images/: boxes, masks and joints in COCO's format",
    "manifest": "manifest.csv with image, kcal, category, group, split, and the images: your own dishes",
    "utkface": "image/AGE_GENDER_RACE_DATE.jpg, splits/*.txt: faces as in UTKFace",
    "imdb_wiki": "imdb_crop/imdb.mat and its images, or wiki_crop: faces as in IMDB-WIKI",
}
"""Layout -> what lies in the folder."""
