#!/usr/bin/env bash
# Reproduces the embedded model from nothing: packages, sprites, pictures, autoencoder, latents, denoiser, export, evaluation.
# Each stage is skipped or goes on when its result is already in $WORK: end it and start it again at any time. DEVICE=cuda or cpu.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
WORK=${WORK:-$root/.train}
PYTHON=${PYTHON:-python}
DEVICE=${DEVICE:-$($PYTHON -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')}
OUT=${OUT:-$root/servers/imajin_servers/diffusion/embedded}
WORKERS=${WORKERS:-$(nproc)}
if [ "$DEVICE" = cuda ]; then
  : "${VARIED:=48}" "${AE_STEPS:=6000}" "${PLAIN_STEPS:=2000}" "${VARIED_STEPS:=12000}" "${DECODER_STEPS:=4000}" "${BATCH:=256}" "${AE_BATCH:=64}"
else
  : "${VARIED:=36}" "${AE_STEPS:=9000}" "${PLAIN_STEPS:=8000}" "${VARIED_STEPS:=32000}" "${DECODER_STEPS:=6000}" "${BATCH:=32}" "${AE_BATCH:=5}"
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
mkdir -p "$WORK"

[ -f "$WORK/data/sprites.npy" ] || $PYTHON dataset.py --packages "$WORK/packages" --out "$WORK/data" --workers "$WORKERS"
[ -d "$WORK/text/text_encoder" ] || $PYTHON text_encoder.py --packages "$WORK/packages" --out "$WORK/text"
if [ ! -f "$WORK/plain/shard-002.npz" ]; then
  $PYTHON plain.py --packages "$WORK/packages" --data "$WORK/data" --out "$WORK/plain"
fi
$PYTHON varied.py --packages "$WORK/packages" --data "$WORK/data" --out "$WORK/varied" --shards "$VARIED" --workers "$WORKERS"
if [ ! -f "$WORK/autoencoder/reconstructions.png" ]; then
  $PYTHON autoencoder.py --shards "$WORK/varied" --out "$WORK/autoencoder" --steps "$AE_STEPS" --batch "$AE_BATCH" --device "$DEVICE"
fi
$PYTHON latents.py --shards "$WORK/plain" --vae "$WORK/autoencoder" --text "$WORK/text" --out "$WORK/latents-plain" --device "$DEVICE"
$PYTHON latents.py --shards "$WORK/varied" --vae "$WORK/autoencoder" --text "$WORK/text" --out "$WORK/latents-varied" --device "$DEVICE"
train_denoiser() { # latents, step to end at, step begun at, part of the stage from which the learning rate falls
  local seed arguments=(--latents "$WORK/$1" --steps "$2" --since "$3" --decay-from "$4" --batch "$BATCH" --device "$DEVICE" --compile)
  if [ "$DEVICE" = cuda ]; then
    $PYTHON denoiser.py "${arguments[@]}" --out "$WORK/denoiser"
  else # a worker on each core; they average their weights as they go
    rm -rf "$WORK/peers"
    for ((seed = 1; seed < WORKERS; seed++)); do
      $PYTHON denoiser.py "${arguments[@]}" --out "$WORK/denoiser" --seed "$seed" --peers "$WORK/peers" &
    done
    $PYTHON denoiser.py "${arguments[@]}" --out "$WORK/denoiser" --peers "$WORK/peers"
    wait
  fi
}
# Shapes form on the plain set, where a name always shows the same; everything else follows.
train_denoiser latents-plain "$PLAIN_STEPS" 0 1
train_denoiser latents-varied "$VARIED_STEPS" "$PLAIN_STEPS" 0.7
if [ ! -f "$WORK/decoder/reconstructions.png" ]; then
  $PYTHON autoencoder.py --shards "$WORK/varied" --init "$WORK/autoencoder" --out "$WORK/decoder" --decoder-only \
    --steps "$DECODER_STEPS" --batch "$AE_BATCH" --lr 0.006 --device "$DEVICE"
fi
$PYTHON export.py --packages "$WORK/packages" --vae "$WORK/decoder" --text "$WORK/text" --unet "$WORK/denoiser/mean" --out "$OUT"
$PYTHON "$root/bench/embedded_model.py" --packages "$WORK/packages" --data "$WORK/data" --shards "$WORK/varied" \
  --judge "$WORK/judge.pt" || true # 1: a goal was missed
$PYTHON sheets.py --dir "$OUT" --out "$root/docs/embedded-model"
