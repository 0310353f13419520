package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

const workerCommand = "run-our-engine"

// greeting is what a worker says when it has the model.
type greeting struct {
	Engine  string `json:"engine"`
	LoadNS  int64  `json:"load_ns"`
	IdleKiB int64  `json:"idle_kib"` // resident before the model was loaded
	Error   string `json:"error"`
}

// turn asks for runs, and report answers.
type turn struct {
	ForNS   int64 `json:"for_ns"`
	Compare bool  `json:"compare"` // the last run's outputs with the stored ones; ort.py does not
}

type report struct {
	RunsNS  []int64 `json:"runs_ns"`
	PeakKiB int64   `json:"peak_kib"` // the largest resident set so far
	// Deviation is of the outputs that were compared; 1 is the tolerance.
	Deviation float64 `json:"deviation"`
	Error     string  `json:"error"`
}

// work is the process that runs our engine: DIR NAME THREADS. It speaks as ort.py does.
func work(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("%s DIR NAME THREADS", workerCommand)
	}
	threads, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(threads) // what collects garbage counts as well
	debug.SetGCPercent(10)      // most of its heap is weights
	say := json.NewEncoder(out)
	e, hello, err := load(args[0], args[1], threads)
	if err != nil {
		return say.Encode(greeting{Error: err.Error()})
	}
	if err := say.Encode(hello); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var t turn
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return err
		}
		if err := say.Encode(e.take(t)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// load reads the inputs, and then times what a server does with a model file.
func load(dir, name string, threads int) (*engine, greeting, error) {
	list, err := readListing(dir, name)
	if err != nil {
		return nil, greeting{}, err
	}
	e := &engine{dir: dir, list: list}
	if err := e.readInputs(); err != nil {
		return nil, greeting{}, err
	}
	idle := memory("VmRSS")
	start := time.Now()
	if err := e.open(filepath.Join(dir, name+".onnx"), threads); err != nil {
		return nil, greeting{}, err
	}
	return e, greeting{Engine: "package onnx", LoadNS: time.Since(start).Nanoseconds(), IdleKiB: idle}, nil
}

func (e *engine) take(t turn) report {
	r := report{}
	for left := t.ForNS; len(r.RunsNS) == 0 || left > 0; {
		start := time.Now()
		if err := e.run(); err != nil {
			return report{Error: err.Error()}
		}
		took := time.Since(start).Nanoseconds()
		r.RunsNS = append(r.RunsNS, took)
		left -= took
	}
	r.PeakKiB = memory("VmHWM")
	if !t.Compare {
		return r
	}
	var err error
	if r.Deviation, err = e.deviation(); err != nil {
		r.Error = err.Error()
	}
	return r
}

// memory returns a field of /proc/self/status in KiB, 0 where there is none.
func memory(field string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
