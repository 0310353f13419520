package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// pause lets a peer's spinning threads go to sleep before the other's turn.
const pause = 50 * time.Millisecond

// side is what one engine cost, each figure a median.
type side struct {
	run, load time.Duration
	peak      int64 // bytes, the largest resident set of the process
	gained    int64 // bytes of it that came with the model and its runs
}

// measurement is one row: a model at a number of threads.
type measurement struct {
	ort, ours         side
	run, load, memory float64 // ours / the peer's
	deviation         float64 // of our outputs; 1 is the tolerance
	goal              float64 // for run; 0: none
}

// Goals of every model, each a ratio to the peer's.
const (
	memoryGoal = 0.7
	loadGoal   = 1.0
)

// engines returns how each engine's process is started, the peer's first.
func engines(s settings, name string, threads int) ([2][]string, error) {
	self, err := os.Executable()
	if err != nil {
		return [2][]string{}, err
	}
	python, err := filepath.Abs(s.python)
	if err != nil {
		return [2][]string{}, err
	}
	n := strconv.Itoa(threads)
	return [2][]string{
		{python, filepath.Join("bench", "onnx", "ort.py"), s.dir, name, n},
		{self, workerCommand, s.dir, name, n},
	}, nil
}

func measure(ctx context.Context, s settings, name string, threads int) (measurement, error) {
	list, err := readListing(s.dir, name)
	if err != nil {
		return measurement{}, err
	}
	commands, err := engines(s, name, threads)
	if err != nil {
		return measurement{}, err
	}
	var workers [2]*worker
	for i, command := range commands {
		w, err := start(ctx, command)
		if err != nil {
			return measurement{}, err
		}
		defer w.stop()
		workers[i] = w
	}
	m, err := race(workers, s)
	if err != nil {
		return m, err
	}
	if threads == 1 {
		m.goal = list.Goal
	}
	return m, m.loads(ctx, commands, workers, s.loads)
}

// race lets both run in turns; the one that begins changes from round to round.
func race(workers [2]*worker, s settings) (measurement, error) {
	var m measurement
	var medians [2][]float64
	for round := -1; round < s.rounds; round++ { // the first warms both up
		var took [2]float64
		for k := range 2 {
			i := (round + 1 + k) % 2
			r, err := workers[i].take(turn{ForNS: s.turn.Nanoseconds(), Compare: round == s.rounds-1})
			if err != nil {
				return m, err
			}
			took[i] = float64(median(r.RunsNS))
			m.side(i).peak = r.PeakKiB << 10
			m.deviation = max(m.deviation, r.Deviation)
			time.Sleep(pause)
		}
		if round >= 0 {
			medians[0], medians[1] = append(medians[0], took[0]), append(medians[1], took[1])
		}
	}
	for i, w := range workers {
		m.side(i).run = time.Duration(median(medians[i]))
		m.side(i).gained = m.side(i).peak - w.hello.IdleKiB<<10
	}
	m.run = ratio(medians)
	m.memory = float64(m.ours.peak) / float64(max(m.ort.peak, 1))
	return m, nil
}

// loads starts more processes in turns, only to load the model.
func (m *measurement) loads(ctx context.Context, commands [2][]string, first [2]*worker, times int) error {
	var took [2][]float64
	for i, w := range first {
		took[i] = append(took[i], float64(w.hello.LoadNS))
		w.stop()
	}
	for range times - 1 {
		for i, command := range commands {
			w, err := start(ctx, command)
			if err != nil {
				return err
			}
			took[i] = append(took[i], float64(w.hello.LoadNS))
			w.stop()
		}
	}
	for i := range took {
		m.side(i).load = time.Duration(median(took[i]))
	}
	m.load = ratio(took)
	return nil
}

func (m *measurement) side(i int) *side {
	if i == 0 {
		return &m.ort
	}
	return &m.ours
}

// ratio is the median of the ratios within each round.
func ratio(values [2][]float64) float64 {
	ratios := make([]float64, len(values[0]))
	for i := range ratios {
		ratios[i] = values[1][i] / max(values[0][i], 1)
	}
	return median(ratios)
}

func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

const tableHead = `| model | threads | ORT p50 | ours p50 | ratio | ORT peak | ours | ratio | ORT load | ours | ratio | deviation |
|---|---|---|---|---|---|---|---|---|---|---|---|`

const tableFoot = `
p50: median of the runs. Peak: the largest resident set of a process that loads the model and runs it (in
brackets: how much of it came with the model, the rest is the runtime of Python or Go). Load: from the file
to a session that can run. Deviation: of the worst element of all outputs, as a share of what is allowed,
|ours - ORT| <= 1e-4 * (largest |ORT| + |ORT|). Bold: over the goal, which is 1.0 for the time of a
transformer and 1.1 for that of another network, with one thread; 0.7 for the peak; 1.0 for loading.
`

func (m measurement) row(name string, threads int) string {
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", name, threads,
		millis(m.ort.run), millis(m.ours.run), judged(m.run, m.goal), m.ort.memory(), m.ours.memory(), judged(m.memory, memoryGoal),
		millis(m.ort.load), millis(m.ours.load), judged(m.load, loadGoal), judged(m.deviation, 1))
}

// judged marks what is over its goal; a goal of 0 is none.
func judged(value, goal float64) string {
	if goal > 0 && value > goal {
		return fmt.Sprintf("**%.2f**", value)
	}
	return fmt.Sprintf("%.2f", value)
}

func (s side) memory() string { return fmt.Sprintf("%d (%d) MiB", s.peak>>20, s.gained>>20) }

func millis(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d.Nanoseconds())/1e6)
}
