"""Finds a person again, with boto3: recognise.py enrol|recognise REKOGNITION S3 KEY SECRET FOOTAGE"""

import pathlib
import sys

import boto3
from botocore.config import Config

step, rekognition, s3, key, secret, footage = sys.argv[1:]
footage = pathlib.Path(footage)
access = {"region_name": "us-east-1", "aws_access_key_id": key, "aws_secret_access_key": secret}
faces = boto3.client("rekognition", endpoint_url=rekognition, **access)
store = boto3.client("s3", endpoint_url=s3, config=Config(s3={"addressing_style": "path"}), **access)


def stored(photo):
    store.put_object(Bucket="reelmill", Key=f"photos/{photo}", Body=(footage / photo).read_bytes())
    return {"S3Object": {"Bucket": "reelmill", "Name": f"photos/{photo}"}}


def matches(image):
    found = faces.search_faces_by_image(CollectionId="school", Image=image)
    return [match["Face"]["ExternalImageId"] for match in found["FaceMatches"]]


if step == "enrol":
    faces.create_collection(CollectionId="school")
    for photo, name in (("obama.jpg", "barack"), ("biden.jpg", "joe")):
        added = faces.index_faces(CollectionId="school", Image=stored(photo), ExternalImageId=name)
        assert len(added["FaceRecords"]) == 1, added
else:
    assert faces.describe_collection(CollectionId="school")["FaceCount"] == 2
    assert matches(stored("obama2.jpg")) == ["barack"]
    assert matches({"Bytes": (footage / "biden2.jpg").read_bytes()}) == ["joe"]
