package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Summary returns one line for a verdict.
func (p *Policy) Summary() string {
	return strings.Join([]string{
		"callers: " + p.callerSummary(),
		"logs: " + p.logsName(),
		"request <= " + formatSize(p.Limits.Request),
		fmt.Sprintf("%d at once", p.Limits.Concurrent),
		"egress: not restricted by this version",
	}, " · ")
}

func (p *Policy) callerSummary() string {
	keys, anyone := 0, false
	for _, c := range p.Callers {
		if c.Anyone {
			anyone = true
		} else {
			keys++
		}
	}
	switch {
	case keys == 0 && !anyone:
		return "nobody"
	case keys == 0:
		return "ANYONE"
	case anyone:
		return "ANYONE, " + count(keys, "api key")
	default:
		return count(keys, "api key")
	}
}

func (p *Policy) logsName() string {
	if p.Logs == "" {
		return string(LogsNone)
	}
	return string(p.Logs)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Describe returns what the policy means in plain language, some lines of text
// that end in a newline.
func (p *Policy) Describe() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("box %s, policy sha256:%s", p.Name, hex.EncodeToString(p.digest[:]))
	p.describeWork(line)
	if len(p.Callers) == 0 {
		line("Nobody may call it.")
	}
	for _, c := range p.Callers {
		line("%s (line %d)", c.sentence(), c.Line)
	}
	line("A request may have %s; %d are served at once; one without a byte for %s is cut.", formatSize(p.Limits.Request), p.Limits.Concurrent, p.Limits.Idle)
	if p.Logs == LogsCounters {
		line("The box counts requests by the kind of answer. It logs nothing else about them.")
	} else {
		line("The box logs nothing about requests.")
	}
	line("Not restricted by this version: where the app may connect to, its files, memory and processes.")
	return b.String()
}

func (p *Policy) describeWork(line func(string, ...any)) {
	if p.App != nil {
		line("It starts %q and forwards requests to it on %s.", p.App.Command, p.App.Listen)
		names := make([]string, 0, len(p.App.Env))
		for k, v := range p.App.Env {
			names = append(names, fmt.Sprintf("%s=%q", k, v))
		}
		slices.Sort(names)
		if len(names) > 0 {
			line("The app's environment has %s.", strings.Join(names, " "))
		}
	}
	for _, m := range p.Models {
		source := m.Path
		if m.Builtin != "" {
			source = "built in as " + m.Builtin
		}
		if m.SHA256 != ([32]byte{}) {
			source += ", sha256:" + hex.EncodeToString(m.SHA256[:])
		}
		line("It runs the model %s (%s).", m.Name, source)
	}
}

func (c *Caller) sentence() string {
	who := "ANYONE who reaches the box, with no key,"
	if c.APIKey != nil {
		who = fmt.Sprintf("%s, by the API key with the hash sha256:%s,", c.Name, hex.EncodeToString(c.APIKey[:]))
	}
	text := who + " may " + list(c.May)
	if slices.Contains(c.May, Query) {
		if len(c.Paths) == 0 {
			return text + ", on every path."
		}
		return text + ", on " + strings.Join(c.Paths, ", ") + "."
	}
	return text + "."
}

func list(actions []Action) string {
	words := make([]string, len(actions))
	for i, a := range actions {
		words[i] = string(a)
	}
	return strings.Join(words, " and ")
}

// formatSize writes bytes in the largest unit that divides them.
func formatSize(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n > 0 && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
