#!/bin/sh
# Puts ONNX Runtime's shared library, which no crate carries, into the cache folder where reelmill
# looks for it. It comes from the Python wheel; no Python of that version is needed.
set -eu

version=1.31.1
folder="$HOME/.cache/reelmill/onnxruntime"
library="libonnxruntime.so.$version"

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64)
        platform=manylinux_2_28_x86_64
        sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
        ;;
    Linux-aarch64)
        platform=manylinux_2_28_aarch64
        sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
        ;;
    *)
        echo "onnxruntime: no wheel is known for $(uname -s) $(uname -m): install ONNX Runtime $version yourself and set REELMILL_ONNXRUNTIME to its shared library" >&2
        exit 1
        ;;
esac

is_right() {
    [ -f "$1" ] && echo "$sha256  $1" | sha256sum --check --status -
}

if is_right "$folder/$library" && [ -f "$folder/LICENSE" ] && [ -e "$folder/libonnxruntime.so" ]; then
    echo "onnxruntime: $folder/$library is there"
    exit 0
fi

mkdir -p "$folder"
scratch=$(mktemp -d "$folder/.download.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 311 --implementation cp --platform "$platform" \
    --dest "$scratch" "onnxruntime==$version"
python3 -m zipfile -e "$scratch"/onnxruntime-*.whl "$scratch/wheel"

if ! is_right "$scratch/wheel/onnxruntime/capi/$library"; then
    echo "onnxruntime: $library in the wheel has not the expected sha256 $sha256: nothing was installed" >&2
    exit 1
fi

mv -f "$scratch/wheel/onnxruntime/LICENSE" "$folder/LICENSE"
mv -f "$scratch/wheel/onnxruntime/ThirdPartyNotices.txt" "$folder/ThirdPartyNotices.txt"
mv -f "$scratch/wheel/onnxruntime/capi/$library" "$folder/$library"
ln -sf "$library" "$folder/libonnxruntime.so"
echo "onnxruntime: installed $folder/$library"
