package device

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// Helper is the command line of a program that prints the evidence of NVIDIA
// devices. Only NVIDIA's libraries (NVML, NSCQ) can ask for it, and they come as
// C; this program is one of their users, NVIDIA's own for example:
//
//	nvattest collect-evidence --device gpu --format json
//
// It is given `--nonce` and 64 hex digits in addition, and prints a JSON array,
// or an object with an array "evidences", of objects with "evidence" (SPDM
// request and response) and "certificate" (PEM), both in base64. It is a file of
// the box's image and measured with it. What it prints is bounded, and evidence
// over another nonce is refused.
type Helper []string

const (
	helperLimit  = time.Minute
	helperOutput = 4 << 20 // sixteen devices in base64 have a tenth of it
	// The request that opens the report: SPDM GET_MEASUREMENTS with a nonce
	// (DMTF DSP0274 1.1, 10.11.1).
	spdmMeasure = 0xE0
	spdmNonceAt = 4
	spdmRequest = 37
)

func detectHelper(files files, o Options, k attest.Kind) Candidate {
	h := o.Helpers[k]
	if len(h) == 0 {
		c := Candidate{Kind: k, Path: "/dev/nvidiactl", Reason: "not there: no driver of NVIDIA's is loaded"}
		if k == attest.NVSwitch {
			c.Path = "/dev/nvidia-nvswitchctl"
		}
		if !absent(files, &c, "no driver of NVIDIA's is loaded") {
			c.Reason = "a driver is loaded, but no program was named that collects the evidence"
		}
		return c
	}
	c := Candidate{Kind: k, Path: h[0]}
	switch {
	case !strings.HasPrefix(h[0], "/"):
		c.Reason = "the program's path does not begin with /"
	case !absent(files, &c, "the program that collects the evidence"):
		c.Detail = strings.Join(h, " ")
	}
	return c
}

// helperParts runs the program once for all devices of that kind.
func helperParts(h Helper, k attest.Kind) Parts {
	return func(ctx context.Context, b attest.Bound) ([]attest.Evidence, attest.Endorsements, error) {
		if b.IsZero() {
			return nil, nil, errors.New("device: nothing to sign: the bound is zero")
		}
		nonce := b.Nonce(k)
		out, err := h.run(ctx, nonce)
		if err != nil {
			return nil, nil, unavailable(fmt.Errorf("%s: %w", k, err))
		}
		parts, err := readHelper(out, k, nonce)
		if err != nil {
			return nil, nil, unavailable(fmt.Errorf("%s: what %s prints: %w", k, h[0], err))
		}
		return parts, nil, nil
	}
}

// run starts the program without anything of boxd's environment.
func (h Helper) run(ctx context.Context, nonce [32]byte) ([]byte, error) {
	if len(h) == 0 || !strings.HasPrefix(h[0], "/") {
		return nil, errors.New("no program with an absolute path")
	}
	ctx, cancel := context.WithTimeout(ctx, helperLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, h[0], append(h[1:len(h):len(h)], "--nonce", hex.EncodeToString(nonce[:]))...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.WaitDelay = time.Second
	out := &capped{limit: helperOutput}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", h[0], errors.Join(out.err, ctx.Err(), err))
	}
	return out.data, nil
}

// capped is a buffer that refuses to grow beyond its limit. It has no method
// but Write: a bytes.Buffer inside would offer ReadFrom, which knows no limit.
type capped struct {
	data  []byte
	limit int
	err   error
}

func (c *capped) Write(p []byte) (int, error) {
	if len(c.data)+len(p) > c.limit {
		c.err = fmt.Errorf("prints more than %d bytes", c.limit)
		return 0, c.err
	}
	c.data = append(c.data, p...)
	return len(p), nil
}

// printed is one device as the program prints it.
type printed struct {
	Evidence    []byte `json:"evidence"`
	Certificate []byte `json:"certificate"`
}

func readHelper(out []byte, k attest.Kind, nonce [32]byte) ([]attest.Evidence, error) {
	var devices []printed
	if out = bytes.TrimSpace(out); bytes.HasPrefix(out, []byte("{")) {
		var whole struct {
			Evidences []printed `json:"evidences"`
		}
		if err := json.Unmarshal(out, &whole); err != nil {
			return nil, err
		}
		devices = whole.Evidences
	} else if err := json.Unmarshal(out, &devices); err != nil {
		return nil, err
	}
	if len(devices) == 0 || len(devices) >= form.MaxParts {
		return nil, fmt.Errorf("%d devices, expected 1 to %d", len(devices), form.MaxParts-1)
	}
	parts := make([]attest.Evidence, len(devices))
	for i, d := range devices {
		if err := checkSPDM(d.Evidence, nonce); err != nil {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
		parts[i] = attest.Evidence{Kind: k, Data: form.GPU{Report: d.Evidence, Chain: d.Certificate}.Encode()}
		if _, err := form.ParseGPU(parts[i].Data); err != nil {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
	}
	return parts, nil
}

func checkSPDM(report []byte, nonce [32]byte) error {
	if len(report) <= spdmRequest || report[1] != spdmMeasure {
		return fmt.Errorf("%d bytes that do not begin with a GET_MEASUREMENTS request", len(report))
	}
	return isOver("report", report[spdmNonceAt:spdmNonceAt+32], nonce[:])
}
