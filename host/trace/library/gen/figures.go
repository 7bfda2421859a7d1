package main

import (
	"fmt"
	"time"

	"github.com/offhost/offhost/host/units"
)

// A figure is a size or a time with the place it comes from.
type figure[T units.Bytes | time.Duration] struct {
	value T
	from  string
	low   bool // an estimate, or a source that cannot be checked
}

type (
	size     = figure[units.Bytes]
	duration = figure[time.Duration]
)

// weights is the size of params parameters of width bytes each.
func weights(params, width int64, from string) size {
	return size{value: units.Bytes(params * width), from: fmt.Sprintf("%d parameters of %d bit: %s", params, 8*width, from)}
}

// Parameter counts follow from the class definitions and the published
// configurations of the models.
const (
	clipL      = 123_060_480
	clipBigG   = 694_659_840 // with its projection
	t5XXL      = 4_762_310_656
	umt5XXL    = 5_680_910_336
	qwenVL     = 8_292_166_656
	fluxDiT    = 11_901_408_320
	fluxCN     = 3_301_956_608
	fluxVAE    = 83_819_683
	sdxlUNet   = 2_567_463_684
	sdxlRefine = 2_259_526_660
	sdxlCN     = 1_251_014_160
	sdxlVAE    = 83_653_863
	wanDiT     = 14_288_491_584
	wanI2V     = 16_394_878_784
	wanVAE     = 126_892_531
	qwenDiT    = 20_430_401_088
)

// The matrices of one block, by the model's width (and Wan's feed-forward width): what
// is worth moving by itself. Its biases, norms and modulation vectors, 0.03 % of it,
// stay with the parent, which is there during the whole forward: a block's matrices are
// whole multiples of 2 MiB in bf16, and rounding up for the sake of 68 kB of biases
// would cost 112 MB of device memory over FLUX's 57 blocks.
const (
	fluxDouble = 36 * 3072 * 3072           // one of 19: two streams of modulation 6, attention 4, feed-forward 8
	fluxSingle = 15 * 3072 * 3072           // one of 38: modulation 3, attention 3, feed-forward in 4, both out 5
	wanBlock   = 8*5120*5120 + 2*5120*13824 // one of 40: self- and cross-attention, feed-forward
)

const (
	fromCLIP    = "transformers CLIPTextModel, openai/clip-vit-large-patch14"
	fromBigG    = "transformers CLIPTextModelWithProjection, stabilityai/stable-diffusion-xl-base-1.0 text_encoder_2"
	fromT5      = "transformers T5EncoderModel, google/t5-v1_1-xxl"
	fromUMT5    = "transformers UMT5EncoderModel, google/umt5-xxl"
	fromQwenVL  = "transformers Qwen2_5_VLForConditionalGeneration, Qwen/Qwen2.5-VL-7B-Instruct"
	fromFlux    = "diffusers FluxTransformer2DModel, black-forest-labs/FLUX.1-dev: 19 double-stream and 38 single-stream blocks (huggingface/diffusers#10572 lists 22.17 GiB in bf16)"
	fromFluxCN  = "diffusers FluxControlNetModel with 5 double-stream and 10 single-stream blocks and 10 modes, as InstantX/FLUX.1-dev-Controlnet-Union (6.6 GB)"
	fromKL      = "diffusers AutoencoderKL of the pipeline"
	fromUNet    = "diffusers UNet2DConditionModel, stabilityai/stable-diffusion-xl-base-1.0"
	fromRefiner = "diffusers UNet2DConditionModel, stabilityai/stable-diffusion-xl-refiner-1.0"
	fromSDXLCN  = "diffusers ControlNetModel, diffusers/controlnet-canny-sdxl-1.0"
	fromWan     = "diffusers WanTransformer3DModel, Wan-AI/Wan2.2-T2V-A14B: two experts of 40 blocks"
	fromWanI2V  = "diffusers WanTransformer3DModel, Wan-AI/Wan2.1-I2V-14B, with image cross-attention"
	fromWanVAE  = "diffusers AutoencoderKLWan"
	fromQwen    = "diffusers QwenImageTransformer2DModel, Qwen/Qwen-Image: 60 blocks"
)

// eightBit says what is not counted in a size of one byte a parameter.
func eightBit(s size) size {
	s.from += "; scales and tensors kept in 16 bit not counted"
	s.low = true
	return s
}

// denoiser is the workspace of one forward of a denoising model as ComfyUI
// reserves it: latent elements (batch x frames x height x width) x bytes of an
// element x 0.01 MiB x a factor of the model, given here in thousandths.
func denoiser(latent, factor int64) size {
	return size{
		value: units.Bytes(latent * 2 * factor * int64(units.MiB) / 100_000),
		from: fmt.Sprintf("ComfyUI comfy/model_base.py BaseModel.memory_required: %d latent elements x 2 bytes x 0.01 MiB x memory_usage_factor %g (comfy/supported_models.py)",
			latent, float64(factor)/1000),
		low: true,
	}
}

const (
	factorFlux    = 2800
	factorSDXL    = 800
	factorRefiner = 1000
	factorWan     = 2304 // dim 5120 / 2222
	factorQwen    = 1800
)

// Latents of one picture of 1024 x 1024 and of 81 frames of 480 x 832.
const (
	latentImage = 128 * 128
	latentVideo = 21 * 60 * 104
)

// decoder and encoder are the workspace of a VAE as ComfyUI reserves it.
func decoder(pixels, perPixel int64) size {
	return size{value: units.Bytes(pixels * perPixel * 2), low: true,
		from: fmt.Sprintf("ComfyUI comfy/sd.py VAE.memory_used_decode: %d pixels x %d x 2 bytes", pixels, perPixel)}
}

func encoder(pixels, perPixel int64) size {
	return size{value: units.Bytes(pixels * perPixel * 2), low: true,
		from: fmt.Sprintf("ComfyUI comfy/sd.py VAE.memory_used_encode: %d pixels x %d x 2 bytes", pixels, perPixel)}
}

const (
	pixelsImage = 1024 * 1024
	pixelsVideo = 480 * 832
)

var (
	klDecode  = decoder(pixelsImage, 2178)
	klEncode  = encoder(pixelsImage, 1767)
	wanDecode = decoder(pixelsVideo, 7000)
	wanEncode = encoder(pixelsVideo, 6000)
)

// textEncoder is the workspace of a text encoder: two matrices of attention
// scores in 32 bit, three feed-forward activations in 16 bit, and the 8 MiB that
// PyTorch lends to cuBLAS.
func textEncoder(tokens, heads, feedForward int64) size {
	n := 2*heads*tokens*tokens*4 + 3*tokens*feedForward*2
	n = (n+int64(units.MiB)-1)/int64(units.MiB) + 8
	return size{value: units.Bytes(n) * units.MiB, low: true,
		from: fmt.Sprintf("computed: %d tokens, %d heads, feed-forward of %d: 2 score matrices of 4 bytes, 3 activations of 2 bytes, 8 MiB for cuBLAS", tokens, heads, feedForward)}
}

var (
	clipWork = textEncoder(77, 12, 3072)
	bigGWork = textEncoder(77, 20, 5120)
	t5Work   = textEncoder(512, 64, 10240)
	qwenWork = textEncoder(1024, 28, 18944)
)

// A card is the device that a trace is about.
type card struct {
	name   string
	memory units.Bytes
	link   units.BytesPerSecond // pinned, either way
}

// pageable is the best of the published rates of copies from and to memory that
// is not pinned.
const pageable = 6_000_000_000

const (
	fromLink     = "pinned: planning figure for the card's PCIe link (Gen4 x8 12.5, Gen4 x16 25, Gen5 x16 50 GB/s; sgl-project/sglang#25517 works out at 20 to 25 GB/s on an RTX 4090 and 50 GB/s on an H100)"
	fromPageable = "pageable: the best of 2.6 to 6 GB/s in hao-ai-lab/FastVideo#1839"
)

var (
	rtx3080ti = card{"RTX 3080 Ti", 12 * units.GiB, 25_000_000_000}
	rtx3090   = card{"RTX 3090", 24 * units.GiB, 25_000_000_000}
	rtx4060   = card{"RTX 4060", 8 * units.GiB, 12_500_000_000}
	rtx4090   = card{"RTX 4090", 24 * units.GiB, 25_000_000_000}
	rtx5090   = card{"RTX 5090", 32 * units.GiB, 50_000_000_000}
	rtx6000   = card{"RTX 6000 Ada", 48 * units.GiB, 25_000_000_000}
)

// scaled is a time carried over from another card or model: an estimate.
func scaled(d time.Duration, num, den int64, how string) duration {
	return duration{value: d * time.Duration(num) / time.Duration(den), from: how, low: true}
}

const textTime = 57_150 * time.Microsecond // CLIP and T5 together

var (
	fluxStep3090   = duration{2400 * time.Millisecond, "huggingface/diffusers#11872: about 2.4 s a step, of a picture of 1897 x 788", true}
	fluxStep3080ti = duration{1420 * time.Millisecond, "lllyasviel/stable-diffusion-webui-forge#1820: FLUX fp8 at 1024 x 1024", false}
	fluxStep5090   = duration{180 * time.Millisecond, "gigagpu: FLUX.1-schnell, whose step computes the same, at 1024 x 1024 on an RTX 5090", true}
	fluxStep4090   = scaled(1420*time.Millisecond, 341, 826, "lllyasviel/stable-diffusion-webui-forge#1820 (1.42 s on an RTX 3080 Ti) x 34.1/82.6 TFLOPS")

	clip4090 = scaled(textTime, 5, 100, "sgl-project/sglang#25517: 57.15 ms for CLIP and T5 on an RTX 4090; a twentieth of it taken for CLIP")
	t54090   = scaled(textTime, 95, 100, "sgl-project/sglang#25517: 57.15 ms for CLIP and T5 on an RTX 4090; the rest of it taken for T5")
	clip3090 = scaled(textTime, 10, 100, "twice the time on an RTX 4090 (sgl-project/sglang#25517)")
	t53090   = scaled(textTime, 190, 100, "twice the time on an RTX 4090 (sgl-project/sglang#25517)")

	vaeDecodeFast = scaled(130*time.Millisecond, 1, 1, "sgl-project/sglang#25517: 130.01 ms on an H100, taken for this card too")
	vaeDecodeSlow = scaled(130*time.Millisecond, 2, 1, "twice the 130.01 ms on an H100 (sgl-project/sglang#25517)")
	vaeEncodeFast = scaled(130*time.Millisecond, 1, 2, "half of the time of decoding")
	vaeEncodeSlow = scaled(130*time.Millisecond, 1, 1, "half of the time of decoding")

	// A ControlNet computes the blocks that it has. A double-stream block
	// multiplies 1.2 times as much as a single-stream one.
	fluxCNStep5090 = scaled(180*time.Millisecond, 160, 608, "the transformer's step x (5 x 1.2 + 10)/(19 x 1.2 + 38) blocks")

	sdxlStep4090   = duration{66_700 * time.Microsecond, "gigagpu: 30 steps in 2.0 s at 1024 x 1024", true}
	sdxlStep4060   = scaled(66_700*time.Microsecond, 826, 151, "gigagpu (66.7 ms on an RTX 4090) x 82.6/15.1 TFLOPS")
	refineStep4060 = scaled(66_700*time.Microsecond, 826*88, 151*100, "the base model's step x 2.26/2.57 parameters")
	sdxlCNStep4060 = scaled(66_700*time.Microsecond, 826*49, 151*100, "the UNet's step x 1.25/2.57 parameters")
	sdxlText4060   = scaled(textTime, 20, 100, "four times the time of CLIP taken for an RTX 4090")
	sdxlDecode4060 = scaled(130*time.Millisecond, 4, 1, "four times the 130.01 ms on an H100 (sgl-project/sglang#25517)")

	wanStep4090 = duration{13_658 * time.Millisecond, "huggingface/diffusers#11605: one forward at 480 x 832 x 81 on an RTX 4090 with group offload", false}
	wanStep6000 = scaled(13_658*time.Millisecond, 1, 1, "huggingface/diffusers#11605: 13.658 s on an RTX 4090, which has the same chip")
	wanText     = scaled(textTime, 1, 1, "the 57.15 ms of CLIP and T5 (sgl-project/sglang#25517)")
	wanDecoding = scaled(5*time.Second, 1, 1, "estimate: 81 frames at 480 x 832")
	wanEncoding = scaled(2500*time.Millisecond, 1, 1, "estimate: half of the time of decoding")

	qwenStep6000 = scaled(128*time.Millisecond, 296, 100, "FLUX's 128 ms on an H100 (sgl-project/sglang#22365) x 1.09 multiply-adds x 989/364 TFLOPS")
	qwenText6000 = scaled(105_830*time.Microsecond, 1, 1, "sgl-project/sglang#25517: 105.83 ms on an RTX 4090, which has the same chip")
)
