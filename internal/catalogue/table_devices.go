package catalogue

import "github.com/blindbox/blindbox/attest"

// devices are about what stands beside the processor.
func devices() []Entry {
	return []Entry{
		{
			Number: 290, Codes: []attest.Code{"part_not_allowed"},
			Title:   "a device that your trust file says nothing about",
			Cause:   "The evidence holds a part for a GPU, a switch or another device, and the trust file has no rule for it. What nobody looked at could read what the box computes.",
			NotDone: nothingSent,
			Fix:     "If the box should have GPUs, say which under `hardware: {gpu: ...}`.",
			Example: "BBX-290 hardware: a device that your trust file says nothing about\n  seen       8 nvidia-gpu\n  expected   none: the trust file has no hardware.gpu\n  nothing was sent.",
		},
		{
			Number: 291, Codes: []attest.Code{"part_missing"},
			Title:   "a device that your trust file asks for was not shown",
			Cause:   "The trust file has rules for GPUs and the evidence is that of the machine alone, or of too few of them. A GPU that is not shown may be a genuine one that is not in confidential mode.",
			NotDone: nothingSent,
			Fix:     "Have the operator start the box with its GPUs in confidential mode, or take `gpu` out of the trust file if the box is meant to have none.",
			Example: "BBX-291 hardware: a device that your trust file asks for was not shown\n  seen       no device beside the processor\n  expected   those of hardware.gpu in the trust file\n  nothing was sent.",
		},
	}
}
