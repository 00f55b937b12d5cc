#!/usr/bin/env bash
# Reproduces the embedded model from nothing: packages, sprites, pictures, autoencoder, latents, denoiser, export, evaluation.
# Each stage is skipped or goes on when its result is already in $WORK. DEVICE=cuda or cpu; the minutes below are wall-clock.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
WORK=${WORK:-$root/.train}
PYTHON=${PYTHON:-python}
DEVICE=${DEVICE:-$($PYTHON -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')}
OUT=${OUT:-$root/servers/imajin_servers/diffusion/embedded}
WORKERS=${WORKERS:-$(nproc)}
if [ "$DEVICE" = cuda ]; then
  : "${SHARDS:=32}" "${VARIED:=48}" "${AE_MINUTES:=5}" "${UNET_MINUTES:=3}" "${PLAIN_MINUTES:=6}" "${VARIED_MINUTES:=20}" "${DECODER_MINUTES:=3}" "${BATCH:=256}" "${AE_BATCH:=64}" "${COMPILE:=--compile}"
else
  : "${SHARDS:=8}" "${VARIED:=36}" "${AE_MINUTES:=16}" "${UNET_MINUTES:=70}" "${PLAIN_MINUTES:=111}" "${VARIED_MINUTES:=335}" "${DECODER_MINUTES:=12}" "${BATCH:=32}" "${AE_BATCH:=5}" "${COMPILE:=}"
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
mkdir -p "$WORK"

[ -f "$WORK/data/sprites.npy" ] || $PYTHON dataset.py --packages "$WORK/packages" --out "$WORK/data" --workers "$WORKERS"
[ -d "$WORK/text/text_encoder" ] || $PYTHON text_encoder.py --packages "$WORK/packages" --out "$WORK/text"
$PYTHON compose.py --packages "$WORK/packages" --data "$WORK/data" --out "$WORK/shards" --shards "$SHARDS" --workers "$WORKERS"
if [ ! -f "$WORK/autoencoder/reconstructions.png" ]; then
  $PYTHON autoencoder.py --shards "$WORK/shards" --out "$WORK/autoencoder" --minutes "$AE_MINUTES" --batch "$AE_BATCH" --device "$DEVICE"
fi
$PYTHON latents.py --shards "$WORK/shards" --vae "$WORK/autoencoder" --text "$WORK/text" --out "$WORK/latents" --device "$DEVICE"
if [ ! -f "$WORK/plain/shard-002.npz" ]; then
  $PYTHON plain.py --packages "$WORK/packages" --data "$WORK/data" --out "$WORK/plain"
fi
$PYTHON latents.py --shards "$WORK/plain" --vae "$WORK/autoencoder" --text "$WORK/text" --out "$WORK/latents-plain" --device "$DEVICE"
$PYTHON varied.py --packages "$WORK/packages" --data "$WORK/data" --out "$WORK/varied" --shards "$VARIED" --workers "$WORKERS"
$PYTHON latents.py --shards "$WORK/varied" --vae "$WORK/autoencoder" --text "$WORK/text" --out "$WORK/latents-varied" --device "$DEVICE"
train_denoiser() { # latents, minutes counted from the very start, seed, folder, more arguments
  local latents=$1 minutes=$2
  shift 2
  $PYTHON denoiser.py --latents "$WORK/$latents" --out "$WORK/$2" --minutes "$minutes" --batch "$BATCH" --device "$DEVICE" --seed "$1" "${@:3}"
}
# Colours, backgrounds and words on the mixed set, shapes on the plain one, then everything together.
for stage in "latents $UNET_MINUTES 1.0" "latents-plain $PLAIN_MINUTES 0.89" "latents-varied $VARIED_MINUTES 0.905"; do
  read -r latents minutes decay <<<"$stage"
  if [ "$DEVICE" = cuda ]; then
    train_denoiser "$latents" "$minutes" 0 denoiser --decay-from "$decay" $COMPILE
  else # a worker on each of two cores; they average their weights as they go
    rm -rf "$WORK/peers"
    train_denoiser "$latents" "$minutes" 1 denoiser-1 --decay-from "$decay" --peers "$WORK/peers" &
    train_denoiser "$latents" "$minutes" 0 denoiser --decay-from "$decay" --peers "$WORK/peers"
    wait
  fi
done
if [ ! -f "$WORK/decoder/reconstructions.png" ]; then
  $PYTHON autoencoder.py --shards "$WORK/shards" --init "$WORK/autoencoder" --out "$WORK/decoder" --decoder-only \
    --minutes "$DECODER_MINUTES" --batch "$AE_BATCH" --lr 0.008 --device "$DEVICE"
fi
$PYTHON export.py --packages "$WORK/packages" --vae "$WORK/decoder" --text "$WORK/text" --unet "$WORK/denoiser/mean" --out "$OUT"
$PYTHON "$root/bench/embedded_model.py" --packages "$WORK/packages" --data "$WORK/data" --judge "$WORK/judge.pt" || true # 1: a goal was missed
$PYTHON sheets.py --dir "$OUT" --out "$root/docs/embedded-model"
