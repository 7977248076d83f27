"""Every operation through boto3, unchanged: drive.py URL PICTURES. Prints what it has seen as JSON."""

import json
import pathlib
import sys
import time

import boto3
import botocore.config
from botocore.exceptions import ClientError

from shapes import Shapes

url, pictures = sys.argv[1], pathlib.Path(sys.argv[2])
client = boto3.client(
    "rekognition",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id="reelmill",
    aws_secret_access_key="secret",
    config=botocore.config.Config(retries={"total_max_attempts": 1}),
)
shapes = Shapes(client)
NOBODY = "00000000-0000-4000-8000-000000000000"


def sent(name):
    return {"Bytes": (pictures / name).read_bytes()}


def stored(key, bucket="photos"):
    return {"S3Object": {"Bucket": bucket, "Name": key}}


def film(key):
    return stored(key, "films")


def refused(error, call, **request):
    try:
        answer = call(**request)
    except ClientError as refusal:
        got = refusal.response["Error"]
        assert got["Code"] == error, f"{got} where {error} was expected of {request.keys()}"
        return got["Message"]
    raise AssertionError(f"{request.keys()} was taken where {error} was expected: {answer}")


def centre(box):
    return box["Left"] + box["Width"] / 2, box["Top"] + box["Height"] / 2


def near(a, b, within):
    return all(abs(x - y) <= within for x, y in zip(a, b, strict=True))


def index(collection, picture, **more):
    return client.index_faces(CollectionId=collection, Image=sent(picture), **more)


def find(collection, picture, **more):
    return client.search_faces_by_image(CollectionId=collection, Image=sent(picture), **more)


def detect_faces():
    found = client.detect_faces(Image=sent("obama.jpg"))
    assert set(found) == {"FaceDetails", "ResponseMetadata"}, found.keys()
    (face,) = found["FaceDetails"]
    assert set(face) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}, face.keys()
    types = [landmark["Type"] for landmark in face["Landmarks"]]
    assert types == ["eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight"], types
    box = face["BoundingBox"]
    for landmark in face["Landmarks"]:
        assert box["Left"] < landmark["X"] < box["Left"] + box["Width"], face
        assert box["Top"] < landmark["Y"] < box["Top"] + box["Height"], face
    for angle in ("Roll", "Yaw", "Pitch"):
        assert abs(face["Pose"][angle]) < 20, f"he looks into the camera: {face['Pose']}"
    assert 20 < face["Quality"]["Brightness"] < 90, face["Quality"]
    assert face["Quality"]["Sharpness"] > 50, face["Quality"]

    # What cannot be computed is left out, whatever is asked for.
    for attributes in (["ALL"], ["DEFAULT"], ["GENDER", "EMOTIONS"]):
        assert client.detect_faces(Image=sent("obama.jpg"), Attributes=attributes)["FaceDetails"] == [face]
    refused("InvalidParameterException", client.detect_faces, Image=sent("obama.jpg"), Attributes=["HATS"])
    assert client.detect_faces(Image=stored("obama.jpg"))["FaceDetails"] == [face]
    assert client.detect_faces(Image=sent("rocket.jpg"))["FaceDetails"] == []

    two = client.detect_faces(Image=sent("two.png"))["FaceDetails"]
    areas = [f["BoundingBox"]["Width"] * f["BoundingBox"]["Height"] for f in two]
    assert len(two) == 2 and areas[0] >= areas[1], "the largest comes first"


def pose_and_quality_follow_the_picture():
    (plain,) = client.detect_faces(Image=sent("obama2.jpg"))["FaceDetails"]
    (mirrored,) = client.detect_faces(Image=sent("mirrored.png"))["FaceDetails"]
    assert abs(plain["Pose"]["Yaw"] + mirrored["Pose"]["Yaw"]) < 6, (plain["Pose"], mirrored["Pose"])
    assert abs(plain["Pose"]["Roll"] + mirrored["Pose"]["Roll"]) < 4, (plain["Pose"], mirrored["Pose"])
    assert abs(plain["Pose"]["Pitch"] - mirrored["Pose"]["Pitch"]) < 6, (plain["Pose"], mirrored["Pose"])
    (leaning,) = client.detect_faces(Image=sent("leaning.png"))["FaceDetails"]
    lean = leaning["Pose"]["Roll"] - plain["Pose"]["Roll"]
    print(f"turned by 30 degrees, seen as {lean:.1f}; upright {plain['Pose']}", file=sys.stderr)
    assert abs(lean - 30) < 6, (plain["Pose"], leaning["Pose"])
    for angle in ("Yaw", "Pitch"):
        assert abs(leaning["Pose"][angle] - plain["Pose"][angle]) < 12, (plain["Pose"], leaning["Pose"])
    (dark,) = client.detect_faces(Image=sent("dark.png"))["FaceDetails"]
    (blurred,) = client.detect_faces(Image=sent("blurred.png"))["FaceDetails"]
    assert dark["Quality"]["Brightness"] < 0.7 * plain["Quality"]["Brightness"], (dark, plain)
    assert blurred["Quality"]["Sharpness"] < 0.5 * plain["Quality"]["Sharpness"], (blurred, plain)


def boxes_are_relative_to_the_displayed_picture():
    (upright,) = client.detect_faces(Image=sent("obama.jpg"))["FaceDetails"]
    (turned,) = client.detect_faces(Image=sent("turned.jpg"))["FaceDetails"]
    assert near(centre(upright["BoundingBox"]), centre(turned["BoundingBox"]), 0.02), (upright, turned)
    assert abs(turned["Pose"]["Roll"] - upright["Pose"]["Roll"]) < 5, turned["Pose"]


def pictures_that_are_refused():
    for call, more in [
        (client.detect_faces, {}),
        (client.detect_labels, {}),
        (client.index_faces, {"CollectionId": "refusing"}),
        (client.search_faces_by_image, {"CollectionId": "refusing"}),
    ]:
        def no(error, image):
            return refused(error, call, Image=image, **more)

        no("InvalidImageFormatException", {"Bytes": b"words, no picture"})
        no("InvalidImageFormatException", {"Bytes": (pictures / "obama.jpg").read_bytes()[:300]})
        no("InvalidImageFormatException", stored("notes.txt"))
        no("ImageTooLargeException", {"Bytes": b"\xff" * (5 * 1024 * 1024 + 1)})
        no("ImageTooLargeException", {"Bytes": b"\xff" * (20 * 1024 * 1024)})
        no("ImageTooLargeException", stored("huge.jpg"))
        no("ImageTooLargeException", sent("bomb.png"))
        no("InvalidS3ObjectException", stored("absent.jpg"))
        no("InvalidParameterException", {})
        no("InvalidParameterException", {"Bytes": b""})
        no("InvalidParameterException", {**sent("obama.jpg"), **stored("obama.jpg")})
        no("InvalidParameterException", {"S3Object": {"Bucket": "photos", "Name": "obama.jpg", "Version": "1"}})
    client.detect_faces(Image=stored("large.png"))


def detect_labels():
    found = client.detect_labels(Image=sent("obama.jpg"), MinConfidence=30)
    assert set(found) == {"Labels", "LabelModelVersion", "ResponseMetadata"}, found.keys()
    labels = {label["Name"]: label for label in found["Labels"]}
    assert labels["Person"]["Instances"][0]["BoundingBox"]["Width"] > 0.5, labels
    assert [parent["Name"] for parent in labels["Tie"]["Parents"]] == ["Accessories", "Formal Wear"]
    order = [label["Confidence"] for label in found["Labels"]]
    assert order == sorted(order, reverse=True) and order[-1] >= 30, order

    def names(**request):
        answer = client.detect_labels(Image=sent("obama.jpg"), **request)
        return [label["Name"] for label in answer["Labels"]]

    assert names(MinConfidence=30, MaxLabels=1) == ["Person"]
    assert names(MinConfidence=100) == []
    only = {"GeneralLabels": {"LabelInclusionFilters": ["Tie", "Cat"]}}
    assert names(MinConfidence=30, Settings=only, Features=["GENERAL_LABELS"]) == ["Tie"]
    without = {"GeneralLabels": {"LabelExclusionFilters": ["Person"]}}
    assert "Person" not in names(MinConfidence=30, Settings=without)
    no = {"Image": sent("obama.jpg")}
    refused("InvalidParameterException", client.detect_labels, **no, MinConfidence=101)
    refused("InvalidParameterException", client.detect_labels, **no, Features=["IMAGE_PROPERTIES"])
    categories = {"GeneralLabels": {"LabelCategoryInclusionFilters": ["Animals"]}}
    refused("InvalidParameterException", client.detect_labels, **no, Settings=categories)
    assert client.detect_labels(Image=sent("rocket.jpg"), MinConfidence=99)["Labels"] == []


def collections():
    made = client.create_collection(CollectionId="Pupils_1.a-b")
    assert made["StatusCode"] == 200 and made["CollectionArn"].endswith(":collection/Pupils_1.a-b"), made
    assert made["FaceModelVersion"], made
    refused("ResourceAlreadyExistsException", client.create_collection, CollectionId="Pupils_1.a-b")
    about = client.describe_collection(CollectionId="Pupils_1.a-b")
    assert about["FaceCount"] == 0 and about["UserCount"] == 0, about
    assert abs(about["CreationTimestamp"].timestamp() - time.time()) < 60, about
    assert about["CollectionARN"] == "arn:" + made["CollectionArn"], about
    refused("InvalidParameterException", client.create_collection, CollectionId="with spaces")
    refused("InvalidParameterException", client.create_collection, CollectionId="x" * 256)
    refused("InvalidParameterException", client.create_collection, CollectionId="tagged", Tags={"a": "b"})
    # Names are case-sensitive.
    client.create_collection(CollectionId="pupils_1.A-B")
    for extra in range(3):
        client.create_collection(CollectionId=f"extra{extra}")
    all_at_once = client.list_collections()
    assert "NextToken" not in all_at_once and len(all_at_once["CollectionIds"]) >= 5, all_at_once
    assert len(all_at_once["FaceModelVersions"]) == len(all_at_once["CollectionIds"])
    pages = list(client.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 2}))
    assert [i for page in pages for i in page["CollectionIds"]] == all_at_once["CollectionIds"]
    assert all(len(page["CollectionIds"]) == 2 for page in pages[:-1]) and len(pages) >= 3
    for wrong in ("nonsense", "collections.-1", "collections.", "faces.1.1"):
        refused("InvalidPaginationTokenException", client.list_collections, NextToken=wrong)
    refused("InvalidParameterException", client.list_collections, MaxResults=4097)
    for name in ("Pupils_1.a-b", "pupils_1.A-B", "extra0", "extra1", "extra2"):
        assert client.delete_collection(CollectionId=name)["StatusCode"] == 200
    for call in (client.describe_collection, client.delete_collection):
        refused("InvalidParameterException", call, CollectionId="with spaces")
    refused("ResourceNotFoundException", client.delete_collection, CollectionId="extra0")
    for call in (client.describe_collection, client.list_faces):
        refused("ResourceNotFoundException", call, CollectionId="extra0")
    for call in (client.index_faces, client.search_faces_by_image):
        refused("ResourceNotFoundException", call, CollectionId="extra0", Image=sent("obama.jpg"))
    refused("ResourceNotFoundException", client.search_faces, CollectionId="extra0", FaceId=NOBODY)
    refused("ResourceNotFoundException", client.delete_faces, CollectionId="extra0", FaceIds=[NOBODY])


def a_person_is_found_again_and_a_stranger_is_not():
    client.create_collection(CollectionId="people")
    empty = find("people", "obama2.jpg")
    assert empty["FaceMatches"] == [] and empty["SearchedFaceConfidence"] > 50, empty

    added = index("people", "obama.jpg", ExternalImageId="obama:1.a-b_c", DetectionAttributes=["ALL"])
    assert set(added) == {"FaceRecords", "FaceModelVersion", "UnindexedFaces", "ResponseMetadata"}, added.keys()
    (record,) = added["FaceRecords"]
    face, detail = record["Face"], record["FaceDetail"]
    assert face["ExternalImageId"] == "obama:1.a-b_c" and added["UnindexedFaces"] == []
    assert detail["BoundingBox"] == face["BoundingBox"] and detail["Landmarks"], detail

    same = find("people", "obama2.jpg")
    (match,) = same["FaceMatches"]
    assert match["Face"] == face and 80 <= match["Similarity"] < 100, same
    itself = find("people", "obama.jpg")["FaceMatches"][0]["Similarity"]
    assert itself > match["Similarity"] and itself > 99.9, itself
    for stranger in ("biden.jpg", "biden2.jpg"):
        assert find("people", stranger)["FaceMatches"] == [], stranger
        (far,) = find("people", stranger, FaceMatchThreshold=0)["FaceMatches"]
        assert far["Similarity"] < 75, far
        print(f"stranger {stranger}: {far['Similarity']:.1f}", file=sys.stderr)
    print(f"same person: {match['Similarity']:.1f}, itself {itself:.2f}", file=sys.stderr)
    assert find("people", "obama2.jpg", FaceMatchThreshold=100)["FaceMatches"] == []

    again = index("people", "obama.jpg", ExternalImageId="obama:1.a-b_c")
    assert again["FaceRecords"][0]["Face"] == face, "the same picture again adds nothing"
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 1
    biden = index("people", "biden.jpg", ExternalImageId="biden")["FaceRecords"][0]["Face"]
    assert "ExternalImageId" not in index("people", "biden2.jpg")["FaceRecords"][0]["Face"]
    index("people", "obama2.jpg", ExternalImageId="obama")

    def by_id(face_id, **more):
        return client.search_faces(CollectionId="people", FaceId=face_id, **more)

    near = by_id(face["FaceId"])
    assert near["SearchedFaceId"] == face["FaceId"], near
    assert [m["Face"].get("ExternalImageId") for m in near["FaceMatches"]] == ["obama"], near
    everybody = by_id(face["FaceId"], FaceMatchThreshold=0)["FaceMatches"]
    order = [m["Similarity"] for m in everybody]
    assert len(everybody) == 3 and order == sorted(order, reverse=True), everybody
    assert by_id(face["FaceId"], FaceMatchThreshold=0, MaxFaces=2)["FaceMatches"] == everybody[:2]
    assert "was not found" in refused("InvalidParameterException", by_id, face_id=NOBODY)
    refused("InvalidParameterException", by_id, face_id="no-face-id")
    refused("InvalidParameterException", by_id, face_id=face["FaceId"], FaceMatchThreshold=101)
    refused("InvalidParameterException", by_id, face_id=face["FaceId"], MaxFaces=4097)
    message = refused("InvalidParameterException", find, collection="people", picture="rocket.jpg")
    assert "no face" in message, message
    assert index("people", "rocket.jpg")["FaceRecords"] == []

    # Another collection knows nobody of this one.
    client.create_collection(CollectionId="others")
    assert find("others", "obama.jpg")["FaceMatches"] == []
    refused("InvalidParameterException", client.search_faces, CollectionId="others", FaceId=face["FaceId"])

    # And a deleted face is found no more.
    gone = client.delete_faces(CollectionId="people", FaceIds=[biden["FaceId"], NOBODY])
    assert gone["DeletedFaces"] == [biden["FaceId"]], gone
    assert gone["UnsuccessfulFaceDeletions"] == [{"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]}], gone
    left = find("people", "biden.jpg", FaceMatchThreshold=0)["FaceMatches"]
    assert biden["FaceId"] not in [m["Face"]["FaceId"] for m in left]
    nobody = client.delete_faces(CollectionId="people", FaceIds=[biden["FaceId"]])
    assert nobody["DeletedFaces"] == [], nobody
    refused("InvalidParameterException", client.delete_faces, CollectionId="people", FaceIds=["x"])
    back = index("people", "biden.jpg", ExternalImageId="biden")["FaceRecords"][0]["Face"]
    assert find("people", "biden.jpg")["FaceMatches"][0]["Face"] == back


def faces_are_chosen_by_size_and_quality():
    client.create_collection(CollectionId="chosen")
    largest = index("chosen", "two.png", MaxFaces=1, ExternalImageId="a")
    (record,), (left_out,) = largest["FaceRecords"], largest["UnindexedFaces"]
    assert left_out["Reasons"] == ["EXCEEDS_MAX_FACES"], left_out
    area = lambda box: box["Width"] * box["Height"]
    assert area(record["Face"]["BoundingBox"]) >= area(left_out["FaceDetail"]["BoundingBox"])
    both = index("chosen", "two.png", ExternalImageId="b", QualityFilter="NONE")
    assert len(both["FaceRecords"]) == 2, both
    assert {r["Face"]["ImageId"] for r in both["FaceRecords"]} == {both["FaceRecords"][0]["Face"]["ImageId"]}
    poor = index("chosen", "blurred.png", QualityFilter="HIGH")
    assert poor["FaceRecords"] == [], poor
    assert "LOW_SHARPNESS" in poor["UnindexedFaces"][0]["Reasons"], poor["UnindexedFaces"][0]
    good = index("chosen", "obama.jpg", QualityFilter="HIGH")
    assert len(good["FaceRecords"]) == 1, good["UnindexedFaces"]
    refused("InvalidParameterException", find, collection="chosen", picture="blurred.png", QualityFilter="HIGH")
    assert find("chosen", "blurred.png")["SearchedFaceBoundingBox"], "NONE is the default of a search"
    no = {"CollectionId": "chosen", "Image": sent("obama.jpg")}
    refused("InvalidParameterException", client.index_faces, **no, ExternalImageId="no spaces")
    refused("InvalidParameterException", client.index_faces, **no, ExternalImageId="x" * 256)
    refused("InvalidParameterException", client.index_faces, **no, QualityFilter="BEST")
    refused("InvalidParameterException", client.index_faces, **no, DetectionAttributes=["HATS"])


def people_of_a_film_are_told_apart_on_a_later_frame():
    client.create_collection(CollectionId="frames")
    early = index("frames", "frame-0.png")["FaceRecords"]
    assert len(early) == 2, early
    late = index("frames", "frame-40.png", ExternalImageId="late")["FaceRecords"]
    assert len(late) == 2, late
    left_first = lambda record: record["Face"]["BoundingBox"]["Left"]
    early, late = sorted(early, key=left_first), sorted(late, key=left_first)
    for then, now in zip(early, late, strict=True):
        found = client.search_faces(CollectionId="frames", FaceId=now["Face"]["FaceId"])["FaceMatches"]
        print(f"a later frame: {[m['Similarity'] for m in found]}", file=sys.stderr)
        assert [m["Face"]["FaceId"] for m in found] == [then["Face"]["FaceId"]], found


def faces_are_listed_in_pages():
    client.create_collection(CollectionId="listed")
    ids = []
    for n in range(5):
        ids += [r["Face"]["FaceId"] for r in index("listed", "two.png", ExternalImageId=str(n))["FaceRecords"]]
    assert len(set(ids)) == 10, ids
    whole = client.list_faces(CollectionId="listed")
    assert "NextToken" not in whole and [f["FaceId"] for f in whole["Faces"]] == ids, whole
    pages = client.get_paginator("list_faces").paginate(CollectionId="listed", PaginationConfig={"PageSize": 3})
    pages = list(pages)
    assert [len(page["Faces"]) for page in pages] == [3, 3, 3, 1]
    assert [face for page in pages for face in page["Faces"]] == whole["Faces"]
    some = client.list_faces(CollectionId="listed", FaceIds=[ids[7], ids[2], NOBODY])["Faces"]
    assert [face["FaceId"] for face in some] == [ids[2], ids[7]], some
    token = pages[0]["NextToken"]
    refused("InvalidPaginationTokenException", client.list_faces, CollectionId="listed", NextToken=token + "x")
    refused("InvalidPaginationTokenException", client.list_faces, CollectionId="people", NextToken=token)
    refused("InvalidParameterException", client.list_faces, CollectionId="listed", UserId="ann")
    refused("InvalidParameterException", client.list_faces, CollectionId="listed", MaxResults=4097)
    refused("InvalidParameterException", client.list_faces, CollectionId="listed", FaceIds=["x"])
    # A collection of the same name is another one: a token of the old does not lead into it.
    client.delete_collection(CollectionId="listed")
    client.create_collection(CollectionId="listed")
    refused("InvalidPaginationTokenException", client.list_faces, CollectionId="listed", NextToken=token)
    assert client.list_faces(CollectionId="listed")["Faces"] == []


def ended(call, job):
    for _ in range(1200):
        answer = call(JobId=job)
        if answer["JobStatus"] != "IN_PROGRESS":
            return answer
        time.sleep(0.05)
    raise AssertionError(f"job {job} did not end")


def videos():
    faces, labels = client.start_face_detection, client.start_label_detection
    asked = {"Video": film("pose.mp4"), "ClientRequestToken": "t_1-a", "JobTag": "clip:1/2"}
    job = faces(**asked)["JobId"]
    assert faces(**asked)["JobId"] == job, "the same token and parameters are the same job"
    for other in ({"Video": film("sign.mkv")}, {"JobTag": "another"}, {"FaceAttributes": "ALL"}):
        refused("IdempotentParameterMismatchException", faces, **{**asked, **other})
    # A token belongs to its operation.
    other = labels(**asked, MinConfidence=30)["JobId"]
    assert other != job
    refused("IdempotentParameterMismatchException", labels, **asked, MinConfidence=40)

    whole = ended(client.get_face_detection, job)
    assert whole["JobStatus"] == "SUCCEEDED" and whole["JobTag"] == "clip:1/2", whole
    assert whole["JobId"] == job and whole["Video"] == film("pose.mp4"), whole
    assert whole["VideoMetadata"]["Codec"] == "h264" and len(whole["Faces"]) > 60
    entries, token, pages = [], {}, 0
    while True:
        page = client.get_face_detection(JobId=job, MaxResults=40, **token)
        entries += page["Faces"]
        pages += 1
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert entries == whole["Faces"] and pages == -(-len(entries) // 40)
    seen = ended(client.get_label_detection, other)
    assert seen["JobTag"] == "clip:1/2" and seen["LabelModelVersion"], seen
    first = client.get_label_detection(JobId=other, MaxResults=1)
    rest = client.get_label_detection(JobId=other, NextToken=first["NextToken"])
    assert first["Labels"] + rest["Labels"] == seen["Labels"]
    everything = ended(client.get_label_detection, labels(Video=film("sign.mkv"), MinConfidence=0)["JobId"])
    assert any(label["Label"]["Parents"] for label in everything["Labels"]), everything["Labels"]
    unread = ended(client.get_label_detection, labels(Video=film("notes.mp4"))["JobId"])
    assert unread["StatusMessage"].startswith("not_media: "), unread

    failed = ended(client.get_face_detection, faces(Video=film("notes.mp4"), JobTag="bad")["JobId"])
    assert failed["JobStatus"] == "FAILED" and failed["JobTag"] == "bad", failed
    assert failed["StatusMessage"].startswith("not_media: "), failed
    for call in (client.get_face_detection, client.get_label_detection):
        refused("ResourceNotFoundException", call, JobId="nobody")
    refused("ResourceNotFoundException", client.get_label_detection, JobId=job)
    refused("InvalidPaginationTokenException", client.get_face_detection, JobId=job, NextToken="nonsense")
    for call in (faces, labels):
        refused("InvalidS3ObjectException", call, Video=film("absent.mp4"))
        refused("InvalidParameterException", call, Video={})
        refused("InvalidParameterException", call, Video=film("pose.mp4"), JobTag="no spaces")
        refused("InvalidParameterException", call, Video=film("pose.mp4"), ClientRequestToken="a.b")
    refused("InvalidParameterException", faces, Video=film("pose.mp4"), FaceAttributes="SOME")
    refused("InvalidParameterException", client.get_label_detection, JobId=other, SortBy="NAME")


client.create_collection(CollectionId="refusing")
for part in (
    detect_faces,
    pose_and_quality_follow_the_picture,
    boxes_are_relative_to_the_displayed_picture,
    pictures_that_are_refused,
    detect_labels,
    collections,
    a_person_is_found_again_and_a_stranger_is_not,
    faces_are_chosen_by_size_and_quality,
    people_of_a_film_are_told_apart_on_a_later_frame,
    faces_are_listed_in_pages,
    videos,
):
    started = time.monotonic()
    part()
    print(f"ok: {part.__name__.replace('_', ' ')} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
print(json.dumps(shapes.table()))
