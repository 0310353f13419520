package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// worker is a process that runs one engine with one model.
type worker struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	hello   greeting
	stopped sync.Once
}

// start returns when the process has the model.
func start(ctx context.Context, command []string) (*worker, error) {
	w := &worker{cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	w.cmd.Stderr = os.Stderr
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.in, w.out = in, bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	if err := w.hear(&w.hello); err != nil {
		w.stop()
		return nil, err
	}
	if w.hello.Error != "" {
		w.stop()
		return nil, errors.New(w.hello.Error)
	}
	return w, nil
}

func (w *worker) take(t turn) (report, error) {
	var r report
	if err := json.NewEncoder(w.in).Encode(t); err != nil {
		return r, err
	}
	if err := w.hear(&r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

func (w *worker) hear(into any) error {
	line, err := w.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended: %w", w.cmd.Path, err)
	}
	return json.Unmarshal(line, into)
}

// stop ends the process; more than once is no error.
func (w *worker) stop() {
	w.stopped.Do(func() {
		w.in.Close()
		w.cmd.Wait()
	})
}
