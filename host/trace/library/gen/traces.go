package main

// traces makes every shipped trace, in the order in which they are listed.
func traces() []*builder {
	return []*builder{
		fluxImg2img8bit(),
		flux("flux-bf16", "FLUX.1-dev in bf16, text to image, 1024 x 1024, 28 steps", rtx5090, 2, false),
		flux("flux-fp8", "FLUX.1-dev, transformer and T5 in fp8, text to image, 1024 x 1024, 28 steps", rtx3080ti, 1, false),
		flux("flux-bf16-blocks", "flux-bf16 with the transformer's 57 blocks as components", rtx5090, 2, true),
		flux("flux-fp8-blocks", "flux-fp8 with the transformer's 57 blocks as components", rtx3080ti, 1, true),
		fluxControlNet(),
		fluxPreview(),
		sdxlRefiner(),
		sdxlControlNet(),
		wan("wan22-a14b", "Wan2.2 T2V-A14B in bf16, 480 x 832 x 81, 40 steps with guidance as two calls, 26 of them by the high-noise expert", rtx6000, false),
		wan("wan22-a14b-blocks", "wan22-a14b with the 40 blocks of each expert as components", rtx4090, true),
		qwenImage(),
		chunkedI2V(),
		threePipelines(),
	}
}

// fluxModels are the components of FLUX.1-dev.
type fluxModels struct {
	clip, t5, transformer, vae int
}

// addFlux adds FLUX.1-dev; width is that of a parameter of the transformer and of
// T5, in bytes.
func addFlux(b *builder, prefix string, width int64) fluxModels {
	t5, transformer := weights(t5XXL, width, fromT5), weights(fluxDiT, width, fromFlux)
	if width == 1 {
		t5, transformer = eightBit(t5), eightBit(transformer)
	}
	return fluxModels{
		clip:        b.component(prefix+"text_encoder", weights(clipL, 2, fromCLIP), clipWork),
		t5:          b.component(prefix+"text_encoder_2", t5, t5Work),
		transformer: b.component(prefix+"transformer", transformer, denoiser(latentImage, factorFlux)),
		vae:         b.component(prefix+"vae", weights(fluxVAE, 2, fromKL), klDecode),
	}
}

func (m fluxModels) seq() []int { return []int{m.clip, m.t5, m.transformer, m.vae} }

// fluxImg2img8bit is the sequence in huggingface/diffusers#11872.
func fluxImg2img8bit() *builder {
	b := newBuilder("flux-img2img-8bit", "FLUX.1-dev image to image, transformer and T5 in 8 bit, 1024 x 1024, 10 steps at strength 0.5: 5 calls of the transformer", rtx3090)
	m := addFlux(b, "", 1)
	p := b.pipeline("flux", m.seq())
	for range 4 {
		b.generation(p, func() {
			b.call(m.clip, clip3090)
			b.call(m.t5, t53090)
			b.callFor(m.vae, vaeEncodeSlow, "vae encoding", klEncode)
			for range 5 {
				b.call(m.transformer, fluxStep3090)
			}
			b.call(m.vae, vaeDecodeSlow)
		})
	}
	return b
}

// fluxTimes are the times of FLUX.1-dev on a card.
type fluxTimes struct {
	clip, t5, step, decode duration
}

func timesOf(on card) fluxTimes {
	if on == rtx3080ti {
		return fluxTimes{clip3090, t53090, fluxStep3080ti, vaeDecodeSlow}
	}
	return fluxTimes{clip4090, t54090, fluxStep5090, vaeDecodeFast}
}

func flux(name, description string, on card, width int64, blockwise bool) *builder {
	b := newBuilder(name, description, on)
	t := timesOf(on)
	if blockwise {
		return fluxBlocks(b, t, width)
	}
	m := addFlux(b, "", width)
	p := b.pipeline("flux", m.seq())
	for range 6 {
		b.generation(p, func() {
			b.call(m.clip, t.clip)
			b.call(m.t5, t.t5)
			for range 28 {
				b.call(m.transformer, t.step)
			}
			b.call(m.vae, t.decode)
		})
	}
	return b
}

func fluxBlocks(b *builder, t fluxTimes, width int64) *builder {
	t5, whole := weights(t5XXL, width, fromT5), weights(fluxDiT, width, fromFlux)
	if width == 1 {
		t5, whole = eightBit(t5), eightBit(whole)
	}
	clip := b.component("text_encoder", weights(clipL, 2, fromCLIP), clipWork)
	text := b.component("text_encoder_2", t5, t5Work)
	transformer := b.blocks("transformer", whole, denoiser(latentImage, factorFlux),
		blockKind{"transformer_blocks", 19, weights(fluxDouble, width, "").value, 12},
		blockKind{"single_transformer_blocks", 38, weights(fluxSingle, width, "").value, 10})
	vae := b.component("vae", weights(fluxVAE, 2, fromKL), klDecode)
	p := b.pipeline("flux", []int{clip, text, transformer.parent, vae})
	for range 3 {
		b.generation(p, func() {
			b.call(clip, t.clip)
			b.call(text, t.t5)
			for range 28 {
				b.forward(transformer, t.step)
			}
			b.call(vae, t.decode)
		})
	}
	return b
}

// fluxControlNet has two large members in its loop. Diffusers leaves the
// ControlNet out of the declared order.
func fluxControlNet() *builder {
	b := newBuilder("flux-controlnet", "FLUX.1-dev in bf16 with a ControlNet of 6.6 GB in each of 28 steps, 1024 x 1024", rtx5090)
	m := addFlux(b, "", 2)
	control := b.component("controlnet", weights(fluxCN, 2, fromFluxCN), denoiser(latentImage, factorFlux))
	p := b.pipeline("flux-controlnet", m.seq(), control)
	for range 6 {
		b.generation(p, func() {
			b.call(m.clip, clip4090)
			b.call(m.t5, t54090)
			b.callFor(m.vae, vaeEncodeFast, "vae encoding", klEncode)
			for range 28 {
				b.call(control, fluxCNStep5090)
				b.call(m.transformer, fluxStep5090)
			}
			b.call(m.vae, vaeDecodeFast)
		})
	}
	return b
}

func fluxPreview() *builder {
	b := newBuilder("flux-preview", "FLUX.1-dev in bf16, 28 steps, the VAE decodes a preview after each, 1024 x 1024", rtx5090)
	m := addFlux(b, "", 2)
	p := b.pipeline("flux", m.seq())
	for range 6 {
		b.generation(p, func() {
			b.call(m.clip, clip4090)
			b.call(m.t5, t54090)
			for range 28 {
				b.call(m.transformer, fluxStep5090)
				b.call(m.vae, vaeDecodeFast)
			}
			b.call(m.vae, vaeDecodeFast)
		})
	}
	return b
}

// sdxlModels are the components of SDXL in fp16.
type sdxlModels struct {
	clip, bigG, unet, vae int
}

func addSDXL(b *builder, prefix string) sdxlModels {
	return sdxlModels{
		clip: b.component(prefix+"text_encoder", weights(clipL, 2, fromCLIP), clipWork),
		bigG: b.component(prefix+"text_encoder_2", weights(clipBigG, 2, fromBigG), bigGWork),
		unet: b.component(prefix+"unet", weights(sdxlUNet, 2, fromUNet), denoiser(2*latentImage, factorSDXL)),
		vae:  b.component(prefix+"vae", weights(sdxlVAE, 2, fromKL+", in fp16 as madebyollin/sdxl-vae-fp16-fix"), klDecode),
	}
}

func (m sdxlModels) seq() []int { return []int{m.clip, m.bigG, m.unet, m.vae} }

// prompts encodes the prompt and the negative prompt.
func (m sdxlModels) prompts(b *builder, t duration) {
	for range 2 {
		b.call(m.clip, t)
		b.call(m.bigG, t)
	}
}

// sdxlRefiner is two pipelines that share a text encoder and the VAE: a picture
// is a request of either.
func sdxlRefiner() *builder {
	b := newBuilder("sdxl-refiner", "SDXL in fp16, 1024 x 1024: 40 steps of the base model as one request, 10 of the refiner as the next, guidance batched", rtx4060)
	m := addSDXL(b, "")
	refiner := b.component("refiner.unet", weights(sdxlRefine, 2, fromRefiner), denoiser(2*latentImage, factorRefiner))
	base := b.pipeline("sdxl", m.seq())
	refine := b.pipeline("sdxl-refiner", []int{m.bigG, refiner, m.vae})
	for range 6 {
		b.generation(base, func() {
			m.prompts(b, sdxlText4060)
			for range 40 {
				b.call(m.unet, sdxlStep4060)
			}
		})
		b.generation(refine, func() {
			b.call(m.bigG, sdxlText4060)
			b.call(m.bigG, sdxlText4060)
			for range 10 {
				b.call(refiner, refineStep4060)
			}
			b.call(m.vae, sdxlDecode4060)
		})
	}
	return b
}

func sdxlControlNet() *builder {
	b := newBuilder("sdxl-controlnet", "SDXL in fp16 with a ControlNet in each of 50 steps, 1024 x 1024, guidance batched", rtx4060)
	m := addSDXL(b, "")
	control := b.component("controlnet", weights(sdxlCN, 2, fromSDXLCN), denoiser(2*latentImage, factorSDXL))
	p := b.pipeline("sdxl-controlnet", m.seq(), control)
	for range 6 {
		b.generation(p, func() {
			m.prompts(b, sdxlText4060)
			for range 50 {
				b.call(control, sdxlCNStep4060)
				b.call(m.unet, sdxlStep4060)
			}
			b.call(m.vae, sdxlDecode4060)
		})
	}
	return b
}

// The step at which the second expert of Wan2.2 takes over follows from the
// published boundary 0.875 and flow shift 12: 26 of 40 steps are the first's.
const (
	wanHigh = 26
	wanLow  = 14
)

func wan(name, description string, on card, blockwise bool) *builder {
	b := newBuilder(name, description, on)
	text := b.component("text_encoder", weights(umt5XXL, 2, fromUMT5), t5Work)
	step := wanStep6000
	if blockwise {
		step = wanStep4090
	}
	work, expert := denoiser(latentVideo, factorWan), weights(wanDiT, 2, fromWan)
	var high, low int
	var forward func(c int)
	if blockwise {
		kind := blockKind{"blocks", 40, weights(wanBlock, 2, "").value, 1}
		first := b.blocks("transformer", expert, work, kind)
		second := b.blocks("transformer_2", expert, work, kind)
		high, low = first.parent, second.parent
		forward = func(c int) { b.forward(blocked{parent: c, kinds: first.kinds}, step) }
	} else {
		high, low = b.component("transformer", expert, work), b.component("transformer_2", expert, work)
		forward = func(c int) { b.call(c, step) }
	}
	vae := b.component("vae", weights(wanVAE, 2, fromWanVAE), wanDecode)
	p := b.pipeline("wan", []int{text, high, low, vae})
	requests := 6
	if blockwise {
		requests = 3
	}
	for range requests {
		b.generation(p, func() {
			b.call(text, wanText)
			b.call(text, wanText)
			for range 2 * wanHigh {
				forward(high)
			}
			for range 2 * wanLow {
				forward(low)
			}
			b.call(vae, wanDecoding)
		})
	}
	return b
}

func qwenImage() *builder {
	b := newBuilder("qwen-image", "Qwen-Image in bf16, 1024 x 1024, 50 steps with guidance as two calls", rtx6000)
	text := b.component("text_encoder", weights(qwenVL, 2, fromQwenVL), qwenWork)
	transformer := b.component("transformer", weights(qwenDiT, 2, fromQwen), denoiser(latentImage, factorQwen))
	vae := b.component("vae", weights(wanVAE, 2, "diffusers AutoencoderKLQwenImage, which has the layers of AutoencoderKLWan"), decoder(pixelsImage, 7000))
	p := b.pipeline("qwen-image", []int{text, transformer, vae})
	for range 6 {
		b.generation(p, func() {
			b.call(text, qwenText6000)
			b.call(text, qwenText6000)
			for range 100 {
				b.call(transformer, qwenStep6000)
			}
			b.call(vae, vaeDecodeFast)
		})
	}
	return b
}

// chunkedI2V is a long video made chunk by chunk, each from the last frame of the
// one before: the loop has three members of very different sizes.
func chunkedI2V() *builder {
	b := newBuilder("chunked-i2v", "Wan2.1 I2V-14B in bf16 without its image encoder, 480 x 832 x 81: 8 chunks of VAE encoding, 20 steps without guidance, VAE decoding", rtx6000)
	text := b.component("text_encoder", weights(umt5XXL, 2, fromUMT5), t5Work)
	transformer := b.component("transformer", weights(wanI2V, 2, fromWanI2V), denoiser(latentVideo, factorWan))
	vae := b.component("vae", weights(wanVAE, 2, fromWanVAE), wanDecode)
	p := b.pipeline("wan-i2v", []int{text, transformer, vae})
	for range 6 {
		b.generation(p, func() {
			b.call(text, wanText)
			for range 8 {
				b.callFor(vae, wanEncoding, "vae encoding", wanEncode)
				for range 20 {
					b.call(transformer, wanStep6000)
				}
				b.call(vae, wanDecoding)
			}
		})
	}
	return b
}

// threePipelines are three users of one card who take turns.
func threePipelines() *builder {
	b := newBuilder("three-pipelines", "FLUX.1-dev fp8 (28 steps), SDXL fp16 (50 steps) and Wan2.2 T2V-A14B fp8 (40 steps, guidance as two calls) by turns, a request each", rtx4090)
	f := addFlux(b, "flux.", 1)
	s := addSDXL(b, "sdxl.")
	text := b.component("wan.text_encoder", eightBit(weights(umt5XXL, 1, fromUMT5)), t5Work)
	expert, work := eightBit(weights(wanDiT, 1, fromWan)), denoiser(latentVideo, factorWan)
	high, low := b.component("wan.transformer", expert, work), b.component("wan.transformer_2", expert, work)
	vae := b.component("wan.vae", weights(wanVAE, 2, fromWanVAE), wanDecode)
	fluxPipe, sdxlPipe := b.pipeline("flux", f.seq()), b.pipeline("sdxl", s.seq())
	wanPipe := b.pipeline("wan", []int{text, high, low, vae})
	for range 3 {
		b.generation(fluxPipe, func() {
			b.call(f.clip, clip4090)
			b.call(f.t5, t54090)
			for range 28 {
				b.call(f.transformer, fluxStep4090)
			}
			b.call(f.vae, vaeDecodeFast)
		})
		b.generation(sdxlPipe, func() {
			s.prompts(b, clip4090)
			for range 50 {
				b.call(s.unet, sdxlStep4090)
			}
			b.call(s.vae, vaeDecodeFast)
		})
		b.generation(wanPipe, func() {
			b.call(text, wanText)
			b.call(text, wanText)
			for range 2 * wanHigh {
				b.call(high, wanStep4090)
			}
			for range 2 * wanLow {
				b.call(low, wanStep4090)
			}
			b.call(vae, wanDecoding)
		})
	}
	return b
}
