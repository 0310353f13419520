package operate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// describe writes a line for each process: its number as the app knows it, its
// state, threads, memory and command (proc(5)). A process that is gone by now has
// none.
func describe(pids []int) []byte {
	out := []byte("  PID STATE      THREADS      MEMORY COMMAND\n")
	slices.Sort(pids)
	for _, pid := range pids {
		out = append(out, processLine(filepath.Join("/proc", strconv.Itoa(pid)))...)
	}
	return append(out, '\n')
}

func processLine(folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		return ""
	}
	status := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Fields(value)
	}
	first := func(name string) string {
		if values := status[name]; len(values) > 0 {
			return values[0]
		}
		return "-"
	}
	pid := first("Pid")
	if inside := status["NSpid"]; len(inside) > 0 {
		pid = inside[len(inside)-1]
	}
	return fmt.Sprintf("%5s %-10s %7s %8s KiB %s\n", pid, first("State"), first("Threads"), first("VmRSS"), commandOf(folder, first("Name")))
}

// commandOf is the command of a process, on one line and not for ever. Characters
// that steer a terminal are the app's to choose, and are not passed on.
func commandOf(folder, name string) string {
	const most = 200
	text, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	if err != nil || len(text) == 0 {
		return "[" + name + "]"
	}
	line := strings.ReplaceAll(strings.TrimRight(string(text[:min(len(text), most)]), "\x00"), "\x00", " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
}
