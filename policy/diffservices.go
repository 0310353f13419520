package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// services compares what runs beside the app.
func (d *differ) services() {
	var before, after []string
	for _, s := range d.b.Services {
		if old := d.a.service(s.Name); old == nil {
			d.addAt("services", 0, s.Line, true, false, "the service %s runs, the image sha256:%x", s.Name, s.Digest)
		} else {
			d.service(old, &s)
			after = append(after, s.Name)
		}
	}
	for _, s := range d.a.Services {
		if d.b.service(s.Name) == nil {
			d.addAt("services", s.Line, 0, false, true, "the service %s runs no longer", s.Name)
		} else {
			before = append(before, s.Name)
		}
	}
	if !slices.Equal(before, after) {
		d.add("services", "services", true, true, "the services start in the order %s instead of %s", list(after), list(before))
	}
}

func (p *Policy) service(name string) *Service {
	if i := slices.IndexFunc(p.Services, func(s Service) bool { return s.Name == name }); i >= 0 {
		return &p.Services[i]
	}
	return nil
}

// service compares two entries for the same name.
func (d *differ) service(a, b *Service) {
	at := func(widens, narrows bool, format string, args ...any) {
		d.addAt("services", a.Line, b.Line, widens, narrows, "the service "+b.Name+" "+format, args...)
	}
	if a.Digest != b.Digest {
		at(true, true, "is another image, sha256:%x instead of sha256:%x", b.Digest, a.Digest)
	} else if a.Image != b.Image {
		at(false, false, "is the same image and comes from %s instead of %s", b.Image, a.Image)
	}
	for _, part := range []struct{ key, a, b string }{
		{"command", strings.Join(a.Command, "\x00"), strings.Join(b.Command, "\x00")},
		{"environment", strings.Join(sorted(a.Env), "\x00"), strings.Join(sorted(b.Env), "\x00")},
		{"directory", a.Dir, b.Dir}, {"port", fmt.Sprint(a.Listen), fmt.Sprint(b.Listen)},
	} {
		if part.a != part.b {
			at(true, true, "has another %s, which cannot be compared", part.key)
		}
	}
	if x, y := (&App{User: a.User}).userName(), (&App{User: b.User}).userName(); x != y {
		widens, narrows := users(a.User, b.User)
		at(widens, narrows, "runs as %s instead of %s", y, x)
	}
	for _, c := range b.Capabilities {
		if !slices.Contains(a.Capabilities, c) {
			at(true, false, "has the Linux capability %s", c)
		}
	}
	for _, c := range a.Capabilities {
		if !slices.Contains(b.Capabilities, c) {
			at(false, true, "has the Linux capability %s no longer", c)
		}
	}
	d.serviceAmounts(a, b, at)
}

// serviceAmounts compares what more of is wider.
func (d *differ) serviceAmounts(a, b *Service, at func(widens, narrows bool, format string, args ...any)) {
	amount := func(what string, x, y int64, say func(int64) string) {
		if x != y {
			at(y > x, y < x, "has %s: %s instead of %s", what, say(y), say(x))
		}
	}
	amount("memory", a.Memory, b.Memory, formatSize)
	amount("pids", int64(a.PIDs), int64(b.PIDs), plainNumber)
	amount("cpu", unbounded(int64(a.CPU)), unbounded(int64(b.CPU)), func(n int64) string {
		if n == math.MaxInt64 {
			return "without bound"
		}
		return thousandths(n)
	})
	amount("open_files", int64(a.OpenFiles), int64(b.OpenFiles), plainNumber)
	amount("/tmp", a.Files.Tmp, b.Files.Tmp, formatSize)
	for _, w := range b.Files.Writable {
		amount(shownPath(w.Path), sizeAt(&a.Files, w.Path), w.Size, formatSize)
	}
	for _, w := range a.Files.Writable {
		if sizeAt(&b.Files, w.Path) == 0 {
			at(false, true, "may write to %s no longer", shownPath(w.Path))
		}
	}
}

func sizeAt(f *Files, path string) int64 {
	if i := slices.IndexFunc(f.Writable, func(w Writable) bool { return w.Path == path }); i >= 0 {
		return f.Writable[i].Size
	}
	return 0
}
