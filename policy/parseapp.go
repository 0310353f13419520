package policy

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

func (b *builder) app(d *appDoc) {
	a := &App{
		Image: d.Image.Value, Command: values[string](d.Command), Dir: d.Dir.Value,
		Listen: string(d.Listen.Value), Isolation: Isolation(d.Isolation.Value),
		Capabilities: values[string](d.Capabilities), User: b.user(d.User, "app.user"), Env: environment(d.Env),
	}
	b.filePath(d.Dir, "app.dir", true)
	b.program(d.Command, "app.command")
	if _, err := strconv.Atoi(a.Listen); err == nil {
		a.Listen = "127.0.0.1:" + a.Listen
	}
	if !isListen(a.Listen) {
		b.refuse(d.Listen.Pos, "app.listen", strictyaml.Quote(string(d.Listen.Value)), forms()["listen"].expected)
	}
	if given(d.Image) {
		b.image(a, d)
	} else {
		b.plain(d)
	}
	a.Actions = b.actions(d.Actions)
	b.policy.App = a
}

// program refuses a command that begins with nothing.
func (b *builder) program(command []text, path string) {
	if len(command) > 0 && command[0].Value == "" {
		b.refuseText(command[0], path+"[0]", "a program")
	}
}

// environment returns variables without their places, nil if there are none.
func environment(docs map[string]text) map[string]string {
	if len(docs) == 0 {
		return nil
	}
	env := make(map[string]string, len(docs))
	for name, value := range docs {
		env[name] = value.Value
	}
	return env
}

func (b *builder) image(a *App, d *appDoc) {
	if a.Isolation == IsolationNone {
		a.Isolation = IsolationRunc
	}
	if !given(d.Digest) {
		b.missing(d.Pos, "app.digest", "the digest of the image's manifest, since whoever supplies the image can supply another: blindbox pin writes it")
		return
	}
	a.Digest = b.digest(d.Digest, "app.digest")
}

// plain is an app without an image. What only an image can have is refused, so
// that nobody takes a plain process for isolated.
func (b *builder) plain(d *appDoc) {
	if len(d.Command) == 0 {
		b.missing(d.Pos, "app.command", "command, or image")
	}
	for _, only := range []struct {
		key   string
		place strictyaml.Pos
	}{{"digest", d.Digest.Pos}, {"isolation", d.Isolation.Pos}, {"user", d.User.Pos}, {"capabilities", b.capabilitiesPlace(d)}} {
		if only.place.Line != 0 {
			b.errs.Add(only.place, "app."+only.key, "without an image this does nothing", "", "app.image, or no "+only.key)
		}
	}
}

func (b *builder) capabilitiesPlace(d *appDoc) strictyaml.Pos {
	if len(d.Capabilities) == 0 {
		return strictyaml.Pos{}
	}
	return d.Capabilities[0].Pos
}

func (b *builder) user(t text, path string) *User {
	if !given(t) {
		return nil
	}
	uid, gid, _ := strings.Cut(t.Value, ":")
	u, uErr := strconv.ParseUint(uid, 10, 31)
	g, gErr := strconv.ParseUint(gid, 10, 31)
	if uErr != nil || gErr != nil {
		b.refuseText(t, path, "ids below 2147483648")
		return nil
	}
	return &User{UID: uint32(u), GID: uint32(g)}
}

// maxSocketPath is what Linux has room for in sun_path, with the final zero
// (unix(7)).
const maxSocketPath = 107

func isListen(s string) bool {
	if path, ok := cutPrefix(s, "unix:"); ok {
		return isFilePath(path) && path != "/" && len(path) <= maxSocketPath
	}
	ap, _ := netip.ParseAddrPort(s)
	return ap.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) && ap.Port() != 0 && ap.String() == s
}
