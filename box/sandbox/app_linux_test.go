package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
)

func TestRuns(t *testing.T) { underBoth(t, runs) }

func runs(t *testing.T, cfg sandbox.Config) {
	app := started(t, cfg)
	if got, want := get(t, app, "/pid"), "1 1000 1001 hostile"; got != want {
		t.Errorf("pid, uid, gid, host name %q, expected %q", got, want)
	}
	env := strings.Split(get(t, app, "/env"), "\n")
	slices.Sort(env)
	// The runtimes add HOME out of the image's own accounts.
	want := []string{"BOTH=policy", "FROM=image", "HOME=/", "LISTEN=127.0.0.1:8000", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if !slices.Equal(env, want) {
		t.Errorf("environment %q, expected %q", env, want)
	}
	if !app.Accepting() {
		t.Error("it answers and does not accept")
	}
	app.Stop()
	if app.Accepting() {
		t.Error("it accepts after it was stopped")
	}
	if _, err := app.Dial(t.Context()); err == nil {
		t.Error("a connection to an app that was stopped")
	}
	clean(t, cfg)
}

// clean checks that nothing is left of an app.
func clean(t *testing.T, cfg sandbox.Config) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(cfg.Dir, "run*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestUnixSocket(t *testing.T) { underBoth(t, unixSocket) }

func unixSocket(t *testing.T, cfg sandbox.Config) {
	cfg.Listen = "unix:/run/app/http.sock"
	cfg.Env["LISTEN"] = cfg.Listen
	app := started(t, cfg)
	if got := get(t, app, "/"); got != "here" {
		t.Errorf("the app answers %q", got)
	}
	// The app puts a link to a socket of the box where its own was.
	gate, err := net.Listen("unix", filepath.Join(t.TempDir(), "gate.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	if got := get(t, app, "/try/symlink?with=/run/app/http.sock,"+gate.Addr().String()); !strings.HasPrefix(got, "REACHED") {
		t.Fatal(got)
	}
	if c, err := app.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("the box followed the app's link: %v, %v", c, err)
	}
}

// TestNetNS: an app in a namespace that somebody else made.
func TestNetNS(t *testing.T) { underBoth(t, inNamespace) }

func inNamespace(t *testing.T, cfg sandbox.Config) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIP: no ip (Debian package iproute2)")
	}
	name := fmt.Sprintf("blindbox-test-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", name).Run() })
	for _, args := range [][]string{
		{"link", "set", "lo", "up"}, {"link", "add", "inside", "type", "veth", "peer", "name", "outside"},
		{"address", "add", "192.0.2.1/24", "dev", "inside"}, {"link", "set", "inside", "up"},
	} {
		if out, err := exec.Command("ip", append([]string{"-n", name}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v %s", args, err, out)
		}
	}
	cfg.NetNS = "/run/netns/" + name
	// A port that needs a capability, in a namespace that is not the app's.
	cfg.Listen, cfg.Env["LISTEN"] = "127.0.0.1:80", "127.0.0.1:80"
	cfg.Capabilities = []string{"CAP_NET_BIND_SERVICE"}
	app := started(t, cfg)
	if got := get(t, app, "/try/ns_net"); !strings.HasPrefix(got, "REACHED: ") {
		t.Errorf("interfaces: %s, expected the one that the namespace was given", got)
	}
	cfg.NetNS, cfg.Dir = "/run/netns/none", cfg.Dir+"-other"
	other, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "network namespace") {
		t.Errorf("error %v, expected one about the namespace", err)
	}
}

// TestLowPortNeedsCapability is of runc alone: the ports of gVisor's own network
// are the app's.
func TestLowPortNeedsCapability(t *testing.T) {
	cfg := config(t)
	cfg.Listen, cfg.Env["LISTEN"] = "127.0.0.1:80", "127.0.0.1:80"
	app, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, expected the app to end with 3", err)
	}
	clean(t, cfg)
}

// TestIPv6 connects to the other loopback address.
func TestIPv6(t *testing.T) {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("SKIP: this kernel has no IPv6")
	}
	cfg := config(t)
	cfg.Listen, cfg.Env["LISTEN"] = "[::1]:8000", "[::1]:8000"
	if got := get(t, started(t, cfg), "/"); got != "here" {
		t.Errorf("the app answers %q", got)
	}
}

// exits collects how an app ended.
type exits chan string

func (e exits) told(how string) { e <- how }

func (e exits) wait(t *testing.T) string {
	t.Helper()
	select {
	case how := <-e:
		return how
	case <-time.After(time.Minute):
		t.Fatal("nobody was told that the app ended")
		return ""
	}
}

// again waits until the app answers after it was started again.
func again(t *testing.T, app *sandbox.App) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if body, err := ask(t.Context(), app, "/"); err == nil && body == "here" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the app was not started again")
		}
	}
}

// TestDies: an app that ends, or takes too much memory, is started again, with
// nothing of before.
func TestDies(t *testing.T) { underBoth(t, dies) }

func dies(t *testing.T, cfg sandbox.Config) {
	for _, c := range []struct{ how, path, want string }{
		{"crashes", "/crash", "exit status 9"},
		{"takes too much memory", "/memory", "exit status"},
	} {
		t.Run(c.how, func(t *testing.T) {
			cfg := cfg
			cfg.Files.Tmp = 1 << 20
			told := make(exits, 10)
			cfg.Exited = told.told
			app := started(t, cfg)
			if skipped := slices.ContainsFunc(app.Notes(), func(n string) bool { return strings.Contains(n, "limits.memory") }); skipped {
				t.Skip("SKIP:", app.Notes())
			}
			if got := get(t, app, "/try/write?with=/tmp/kept"); got != "REACHED: /tmp/kept" {
				t.Error(got)
			}
			get(t, app, "/orphan")
			if body, err := ask(t.Context(), app, c.path); err == nil {
				t.Fatalf("it answers %q", body)
			}
			if how := told.wait(t); !strings.Contains(how, c.want) {
				t.Errorf("ended with %q, expected %s", how, c.want)
			}
			again(t, app)
			if got := get(t, app, "/try/listing?with=/tmp/*"); got != "blocked: nothing there" {
				t.Errorf("of before: %s", got)
			}
			app.Stop()
			clean(t, cfg)
		})
	}
}

// TestStopIgnored: an app that does not mind being asked to end.
func TestStopIgnored(t *testing.T) { underBoth(t, stopIgnored) }

func stopIgnored(t *testing.T, cfg sandbox.Config) {
	cfg.Command = []string{"/hostile", "ignore"}
	cfg.StopGrace = time.Millisecond
	app := started(t, cfg)
	get(t, app, "/orphan")
	app.Stop()
	app.Stop()
	clean(t, cfg)
}

func TestStopAsks(t *testing.T) { underBoth(t, stopAsks) }

func stopAsks(t *testing.T, cfg sandbox.Config) {
	var out locked
	cfg.Output = &out
	app := started(t, cfg)
	app.Stop()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(out.String(), "asked to stop"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the app printed %q, expected that it was asked to stop", out.String())
		}
	}
}

// broken is a writer that fails: the app must not stand still for it.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestFloods(t *testing.T) {
	for what, w := range map[string]io.Writer{"read": &counter{}, "broken": broken{}, "nobody": nil} {
		cfg := config(t)
		cfg.Output = w
		app, err := sandbox.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := get(t, app, "/flood?bytes=8388608"); got != "flooded" {
			t.Errorf("%s: %s", what, got)
		}
		app.Stop()
	}
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

// TestStartFails: why, in words, and nothing is left.
func TestStartFails(t *testing.T) { underBoth(t, startFails) }

func startFails(t *testing.T, cfg sandbox.Config) {
	for _, c := range []struct {
		what   string
		change func(*sandbox.Config)
		want   string
	}{
		{"no such program", func(c *sandbox.Config) { c.Command = []string{"/none"} }, "no such file"},
		{"ends at once", func(c *sandbox.Config) { c.Command = []string{"/hostile", "exit"} }, "exit status 7"},
		{"listens elsewhere", func(c *sandbox.Config) { c.Env["LISTEN"], c.StartGrace = "127.0.0.1:8001", 300*time.Millisecond }, "does not listen at 127.0.0.1:8000 after 300ms"},
		{"no such runtime", func(c *sandbox.Config) { c.Runtime = "/none" }, "/none: no such file"},
		{"no such root", func(c *sandbox.Config) { c.Root = "/none" }, "no such file"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := cfg
			cfg.Env = maps.Clone(cfg.Env)
			c.change(&cfg)
			cfg.Image.User = "1000"
			app, err := sandbox.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = app.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected one with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), `"level"`) {
				t.Errorf("error %v is for programs", err)
			}
			if app.Accepting() {
				t.Error("it accepts")
			}
			app.Stop()
			clean(t, cfg)
		})
	}
}

func TestStartCancelled(t *testing.T) { underBoth(t, startCancelled) }

func startCancelled(t *testing.T, cfg sandbox.Config) {
	cfg.Command = []string{"/hostile", "sleep"}
	app, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, expected that it was stopped", err)
	}
	clean(t, cfg)
}

const supervisorArg = "blindbox-test-supervisor"

// supervise is a box that runs an app until it is killed.
func supervise(args []string) {
	var cfg sandbox.Config
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	app, err := sandbox.New(cfg)
	if err == nil {
		err = app.Start(context.Background())
	}
	if err == nil {
		_, err = ask(context.Background(), app, "/orphan")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

// TestDirOfAnother: two apps in one folder would take each other's apart.
func TestDirOfAnother(t *testing.T) {
	cfg := config(t)
	app := started(t, cfg)
	other, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "another app") {
		t.Errorf("error %v, expected that the folder is another app's", err)
	}
	if got := get(t, app, "/"); got != "here" {
		t.Errorf("the first app answers %q", got)
	}
}

// TestKilled: kill -9 of the box, or of the keeper, leaves nothing running; a
// box that is started again cleans up.
func TestKilled(t *testing.T) { underBoth(t, killed) }

func killed(t *testing.T, cfg sandbox.Config) {
	doc, err := json.Marshal(map[string]any{
		"Name": cfg.Name, "Listen": cfg.Listen, "Env": cfg.Env, "Limits": cfg.Limits, "Image": cfg.Image, "Root": cfg.Root, "Dir": cfg.Dir,
		"Runtime": cfg.Runtime, "GVisor": cfg.GVisor, "Shift": cfg.Shift, "StartGrace": cfg.StartGrace, "StopGrace": cfg.StopGrace,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", supervisorArg, string(doc))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		cmd.Process.Kill()
		t.Fatalf("the supervisor says %q", line)
	}
	run, err := filepath.Glob(filepath.Join(cfg.Dir, "run-*"))
	if err != nil || len(run) != 1 {
		t.Fatalf("runs %v, %v", run, err)
	}
	id, err := os.ReadFile(filepath.Join(run[0], "id"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(processes(t, string(id))); n < 2 {
		t.Errorf("%d processes in the app's cgroup, expected it and its child", n)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for deadline := time.Now().Add(time.Minute); len(processes(t, string(id))) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %v outlive the box", processes(t, string(id)))
		}
	}
	app := started(t, cfg)
	if now, _ := filepath.Glob(filepath.Join(cfg.Dir, "run-*")); len(now) != 1 || now[0] == run[0] {
		t.Errorf("runs %v, expected one that is not %v", now, run)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + string(id)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	app.Stop()
}

// processes lists what is in a cgroup, whatever the version.
func processes(t *testing.T, id string) []string {
	t.Helper()
	var all []string
	files, err := filepath.Glob("/sys/fs/cgroup/*/" + id + "/cgroup.procs")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "/sys/fs/cgroup/"+id+"/cgroup.procs") {
		b, _ := os.ReadFile(f)
		all = append(all, strings.Fields(string(b))...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestKeep: a program that is no keeper goes on.
func TestKeep(t *testing.T) {
	sandbox.Keep(nil)
	sandbox.Keep([]string{"boxd", "a", "b", "c"})
	sandbox.Keep([]string{"blindbox-keeper", "a", "b"})
}

// BenchmarkStart is an image of 50 MB that is unpacked already, from nothing to
// the first answer. BenchmarkRunc is the same tree by the runtime alone.
func BenchmarkStart(b *testing.B) { startOver(b, large(b)) }

// BenchmarkStartGVisor is the same under gVisor.
func BenchmarkStartGVisor(b *testing.B) { startOver(b, underGVisor(b, large(b))) }

func startOver(b *testing.B, cfg sandbox.Config) {
	for b.Loop() {
		app, err := sandbox.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := app.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		get(b, app, "/")
		b.StopTimer()
		app.Stop()
		b.StartTimer()
	}
}

// large is the hostile app in an image of 50 MB.
func large(b *testing.B) sandbox.Config {
	cfg := config(b)
	var more []ociforge.Entry
	noise := make([]byte, 50<<20/500)
	for i := range 500 {
		for j := range noise {
			noise[j] = byte(i*j>>3 ^ j)
		}
		more = append(more, ociforge.File(fmt.Sprint("usr/share/", i), string(noise)))
	}
	layout, digest := image(b, nil, more...)
	cfg.Image, cfg.Root = unpacked(b, filepath.Dir(cfg.Dir), layout, digest)
	return cfg
}

// BenchmarkRunc starts the least that can be asked: the same program, by `runc
// run`, with the runtime's own example configuration, until it says that it listens.
func BenchmarkRunc(b *testing.B) {
	cfg := large(b)
	dir := filepath.Join(filepath.Dir(cfg.Dir), "plain")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command(cfg.Runtime, "spec", "--bundle", dir).CombinedOutput(); err != nil {
		b.Fatalf("%v %s", err, out)
	}
	name := filepath.Join(dir, "config.json")
	doc, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(doc, &spec); err != nil {
		b.Fatal(err)
	}
	spec["root"] = map[string]any{"path": cfg.Root, "readonly": true}
	process := spec["process"].(map[string]any)
	process["terminal"], process["args"], process["env"] = false, []string{"/hostile"}, []string{"LISTEN=127.0.0.1:8000"}
	if doc, err = json.Marshal(spec); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(name, doc, 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := exec.Command(cfg.Runtime, "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, fmt.Sprint("blindbox-bench-", os.Getpid()))
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			b.Error(err)
		}
		b.StopTimer()
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		b.StartTimer()
	}
}
