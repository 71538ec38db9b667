#!/bin/bash -eu
# Builds every fuzz target into $OUT, with its corpus, past crashes and dictionary. Called by ClusterFuzzLite and OSS-Fuzz.
cd "$SRC/mysa"
cargo fuzz build -O --debug-assertions
fuzz/unpack
for target in $(cargo fuzz list); do
  cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
  inputs=("fuzz/corpus/$target")
  if [ -d "fuzz/crashes/$target" ]; then inputs+=("fuzz/crashes/$target"); fi
  rm -f "$OUT/${target}_seed_corpus.zip"
  find "${inputs[@]}" -type f -print0 | xargs -0 zip -q -j "$OUT/${target}_seed_corpus.zip"
  cp "fuzz/dict/$target.dict" "$OUT/"
  printf '[libfuzzer]\nmax_len = 4096\nlen_control = 20\n' >"$OUT/$target.options"
done
