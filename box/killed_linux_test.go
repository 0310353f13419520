package box

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/operate"
)

// part is a process of a box: its keepers, the runtime's, the apps, and what
// operators run. A number can be another's later, with another time of start.
type part struct {
	pid         int
	start, line string
}

func (p part) String() string { return fmt.Sprintf("%d %q", p.pid, p.line) }

// parts finds the processes of the boxes in a folder, oldest first: by their
// command line, by what is mounted where they are, and by what they have open.
func parts(c *Containers) (found []part) {
	mark := []byte(filepath.Base(filepath.Dir(c.Dir)))
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(dir + "/cmdline")
		mounts, _ := os.ReadFile(dir + "/mountinfo")
		if !bytes.Contains(line, mark) && !bytes.Contains(mounts, mark) && !opens(dir, mark) {
			continue
		}
		if start, alive := started(pid); alive {
			found = append(found, part{pid, start, strings.ReplaceAll(strings.Trim(string(line), "\x00"), "\x00", " ")})
		}
	}
	slices.SortFunc(found, func(a, b part) int {
		if len(a.start) != len(b.start) {
			return len(a.start) - len(b.start)
		}
		return strings.Compare(a.start+fmt.Sprintf("%10d", a.pid), b.start+fmt.Sprintf("%10d", b.pid))
	})
	return found
}

func opens(dir string, mark []byte) bool {
	fds, _ := filepath.Glob(dir + "/fd/*")
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, _ := os.Readlink(fd)
		return bytes.Contains([]byte(to), mark)
	})
}

// started is when a process began, in ticks, unless it is only waited for (proc(5),
// stat: the fields behind the name begin with the state, the third).
func started(pid int) (string, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if err != nil || len(fields) < 20 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return "", false
	}
	return string(fields[19]), true
}

func (p part) alive() bool {
	start, alive := started(p.pid)
	return alive && start == p.start
}

// kill is kill -9. What is gone by now is as good as killed.
func (p part) kill() { _ = syscall.Kill(p.pid, syscall.SIGKILL) }

func allGone(t testing.TB, all []part) {
	t.Helper()
	waitFor(t, fmt.Sprintf("the end of %v", all), func() bool { return !slices.ContainsFunc(all, part.alive) })
}

// asking asks a box without a break until it is told to end. Whatever happens to the
// box, an answer is the app's to the caller that the box knows, or the box's own that
// says that there is none.
type asking struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	served int
	wrong  []string
}

func (r *running) asked(t testing.TB) *asking {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &asking{cancel: cancel}
	for _, proto := range []string{"h2", "http/1.1"} {
		c := r.client(t, proto)
		a.wg.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				a.note(c.Do(request(t, "GET", "/here", nil).WithContext(ctx)))
				<-pace.C
			}
		})
	}
	t.Cleanup(a.end)
	return a
}

func (a *asking) note(resp *http.Response, err error) {
	if err != nil {
		return // nobody answered
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case resp.StatusCode == http.StatusOK && err == nil && string(text) == "hello clinic":
		a.served++
	case resp.StatusCode == http.StatusOK && err != nil, resp.StatusCode == http.StatusBadGateway, resp.StatusCode == http.StatusServiceUnavailable:
	default:
		a.wrong = append(a.wrong, fmt.Sprint(resp.Status, " ", string(text), " ", err))
	}
}

// so says how many were served so far.
func (a *asking) so() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.served
}

func (a *asking) end() {
	a.cancel()
	a.wg.Wait()
}

// right ends it and reports answers that nobody should have got.
func (a *asking) right(t testing.TB) {
	t.Helper()
	a.end()
	if len(a.wrong) > 0 {
		t.Errorf("answers: %.2000q", a.wrong)
	}
}

// held is a request of which a part was answered. Wait returns when it ended.
func (r *running) held(t testing.TB) (wait func()) {
	t.Helper()
	resp, err := r.client(t, "h2").Do(request(t, "GET", "/hold", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	first := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "held" {
		t.Fatalf("%s %q %v", resp.Status, first, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		ended <- err
	}()
	return func() {
		t.Helper()
		select {
		case err := <-ended:
			if err == nil {
				t.Error("a request that was broken off looks like one that was answered")
			}
		case <-time.After(patience):
			t.Error("a request does not end")
		}
	}
}

// runsOf are the folders of what runs in a box's folder.
func runsOf(c *Containers) []string {
	one, _ := filepath.Glob(filepath.Join(c.Dir, "runs", "run-*"))
	more, _ := filepath.Glob(filepath.Join(c.Dir, servicesName, "*", "runs", "run-*"))
	return append(one, more...)
}

// groupsOf are the names of their control groups.
func groupsOf(c *Containers) (ids []string) {
	for _, run := range runsOf(c) {
		if id, err := os.ReadFile(filepath.Join(run, "id")); err == nil && len(id) > 0 {
			ids = append(ids, string(id))
		}
	}
	return ids
}

func noGroups(t testing.TB, ids []string) {
	t.Helper()
	for _, id := range ids {
		for _, pattern := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id} {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				t.Errorf("left of the control group: %q", found)
			}
		}
	}
}

// apart is a box in a process of its own, which was started and may not be open yet.
type apart struct {
	*running
	cmd   *exec.Cmd
	stdin io.Closer
	out   *sink
}

func (a *apart) says(line string) bool { return strings.Contains(a.out.String(), "EVENT "+line) }

const killedAnywhere = "BLINDBOX_TEST_KILLED_ANYWHERE"

// startApart starts one. Its port is known before it is open: the socket is ours
// until it has it.
func startApart(t testing.TB, c *Containers, doc string) *apart {
	t.Helper()
	l := listen(t)
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	a := &apart{running: &running{Box: &Box{policy: parsed(t, doc)}, addr: l.Addr().String()}, out: &sink{addr: make(chan string, 1)}}
	a.cmd = exec.Command("/proc/self/exe", "-test.run=^TestBoxToKillAnywhere$")
	a.cmd.Env = append(os.Environ(), killedAnywhere+"="+strings.Join([]string{c.Images, c.Dir, c.Runtime, c.GVisor, doc}, "|"))
	a.cmd.ExtraFiles, a.cmd.Stdout, a.cmd.Stderr = []*os.File{socket}, a.out, a.out
	stdin, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.stdin = stdin
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.kill)
	if err := errors.Join(socket.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *apart) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// TestBoxToKillAnywhere is that box. It ends with its input.
func TestBoxToKillAnywhere(t *testing.T) {
	given := strings.SplitN(os.Getenv(killedAnywhere), "|", 5)
	if len(given) != 5 {
		return // there is nothing to do for the others
	}
	socket := os.NewFile(3, "socket")
	l, err := net.FileListener(socket)
	if err = errors.Join(err, socket.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	p := parsed(t, given[4])
	b, err := New(Config{
		Simulation: true, Policy: p, Attester: launched(p), Listener: l, Containers: &Containers{Images: given[0], Dir: given[1], Runtime: given[2], GVisor: given[3]},
		Log: func(e Event) { fmt.Println("EVENT", e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestBoxKilledAnywhere: whenever the box itself is killed (SIGKILL), its port is
// closed, nothing of it runs on, no answer came from behind its back, and the next
// box cleans up and serves.
func TestBoxKilledAnywhere(t *testing.T) { underBoth(t, boxKilledAnywhere) }

func boxKilledAnywhere(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	doc := isolated(withService(digest))
	there := func(pattern string) func(*apart) bool {
		return func(*apart) bool {
			found, _ := filepath.Glob(filepath.Join(c.Dir, pattern))
			return len(found) > 0
		}
	}
	says := func(line string) func(*apart) bool { return func(a *apart) bool { return a.says(line) } }
	var earlier []string // control groups of those that were killed
	for _, row := range []struct {
		when   string
		now    func(*apart) bool
		serves bool // by then it does, or did
		stops  bool // it is told to, while somebody's request is under way
		ofRunc bool // gVisor makes no difference then
	}{
		{"its folder is there", there("lock"), false, false, true},
		{"an image is unpacked", there("services/db/images/*"), false, false, true},
		{"the first keeper starts", there("services/db/runs/run-*/id"), false, false, true},
		{"the first runtime has begun", there("services/db/runs/run-*/state/*"), false, false, false},
		{"the app starts", there("runs/run-*/id"), false, false, true},
		{"the app's runtime has begun", there("runs/run-*/state/*"), false, false, false},
		{"the app runs", says("app started"), false, false, true},
		{"in mid-request", says("serving"), true, false, false},
		{"stopping", says("stopping"), true, true, false},
	} {
		if row.ofRunc && c.GVisor != "" {
			continue
		}
		t.Run(row.when, func(t *testing.T) {
			b := startApart(t, c, doc)
			a := b.asked(t)
			wait := func() {}
			if row.serves {
				waitFor(t, "the open door", func() bool { return b.says("serving") })
				noGroups(t, earlier)
				wait = b.held(t)
			}
			if row.stops {
				b.stdin.Close()
			}
			waitFor(t, row.when, func() bool { return row.now(b) })
			left := parts(c)
			b.kill()
			wait()
			if resp, err := b.client(t, "h2").Do(request(t, "GET", "/here", nil)); err == nil {
				resp.Body.Close()
				t.Errorf("the box is gone, and answers %s", resp.Status)
			}
			a.right(t)
			allGone(t, left)
			waitFor(t, "the end of all that the box had", func() bool { return len(parts(c)) == 0 })
			earlier = append(earlier, groupsOf(c)...)
		})
	}
	next := serve(t, Config{Policy: parsed(t, doc), Containers: c})
	if got := next.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the next box's app answers %q", got)
	}
	noGroups(t, earlier)
	if runs := runsOf(c); len(runs) != 2 {
		t.Errorf("runs %q, expected those of the app and a service", runs)
	}
	endsClean(t, next, c)
}

// withService is a policy of an app and one service.
func withService(digest string) string {
	return withImage(digest, `services: [{name: db, image: "oci:app", digest: "`+digest+`", command: [/app, serve, "0.0.0.0:9000"], listen: 9000}]
`)
}

// endsClean stops a box, of which nothing is left then.
func endsClean(t testing.TB, b *running, c *Containers) {
	t.Helper()
	groups := groupsOf(c)
	b.stop()
	err := <-b.done
	if b.done <- err; err != nil {
		t.Errorf("the box ended with %v", err)
	}
	waitFor(t, "the end of all that the box had", func() bool { return len(parts(c)) == 0 })
	noGroups(t, groups)
	nothingLeft(t, c, "", "")
}

// exits counts how often a program ended that was not asked to.
func (r *running) exits() (n int) {
	for _, name := range r.events.names() {
		if name == AppExited {
			n++
		}
	}
	return n
}

// victims are the processes of a box that are killed, one after the other: not the
// nameless ones that gVisor has the app's threads run in, and with which it does as
// it likes.
func victims(c *Containers) []part {
	return slices.DeleteFunc(parts(c), func(p part) bool { return p.line == "" })
}

// most is more than there are.
const most = 16

// TestPartKilledServing: whichever process of a box that serves is killed (SIGKILL),
// requests under way are broken off, nothing is left of the program that it belonged
// to, and the program is started again; until then the box says that there is none.
func TestPartKilledServing(t *testing.T) { underBoth(t, partKilledServing) }

func partKilledServing(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	b := serve(t, Config{Policy: parsed(t, isolated(withService(digest))), Containers: c})
	a := b.asked(t)
	for _, of := range []string{filepath.Join(servicesName, "db"), "."} { // the app last
		killed := 0
		for ; ; killed++ {
			id := groupIn(t, filepath.Join(c.Dir, of))
			all := slices.DeleteFunc(victims(c), func(p part) bool { return !p.within(id) })
			if killed >= len(all) {
				break
			}
			victim, exits, other := all[killed], b.exits(), len(groupsOf(c))
			wait := b.held(t)
			victim.kill()
			waitFor(t, "the end of what is told after "+victim.String(), func() bool { return b.exits() > exits })
			waitFor(t, "the program of "+victim.String(), b.app.Accepting)
			served := a.so()
			waitFor(t, "answers after "+victim.String(), func() bool { return a.so() > served })
			if of == "." {
				wait()
			}
			allGone(t, all)
			noGroups(t, []string{id})
			if now := len(groupsOf(c)); now != 2 || other != 2 {
				t.Errorf("after %s: %d programs, before %d, expected the app and a service", victim, now, other)
			}
		}
		if killed < 2 {
			t.Errorf("%s: %d processes, expected the runtime's and the program's", of, killed)
		}
	}
	a.right(t)
	endsClean(t, b, c)
}

// groupIn is the control group of what runs in a folder.
func groupIn(t testing.TB, dir string) string {
	t.Helper()
	ids, _ := filepath.Glob(filepath.Join(dir, "runs", "run-*", "id"))
	if len(ids) != 1 {
		t.Fatalf("runs %q", ids)
	}
	id, err := os.ReadFile(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(id)
}

// within reports whether a process is a program's, by its control group, or is the
// runtime that was told of it.
func (p part) within(group string) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.pid))
	return strings.Contains(p.line, group) || bytes.Contains(text, []byte(group))
}

// TestPartKilledStarting: whichever process of a program is killed while the box waits
// for it, the door stays closed, the box ends, and nothing is left.
func TestPartKilledStarting(t *testing.T) { underBoth(t, partKilledStarting) }

func partKilledStarting(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	// It never listens, so the box never opens by itself.
	p := parsed(t, isolated(strings.Replace(withImage(digest, ""), "listen", "command: [/app, sleep], listen", 1)))
	for i := range most {
		b, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: listen(t), Containers: c})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Serve(ctx) }()
		var all []part
		waitFor(t, "the program", func() bool {
			all = victims(c)
			// The keeper is killed at once. When runc loses what is becoming the program
			// it can wait for it for ever, and the box for as long as a start may take.
			return inside(c) && (i == 0 || !slices.ContainsFunc(all, func(p part) bool { return strings.Contains(p.line, "runc init") }))
		})
		if i >= len(all) {
			stop()
			<-ended
			if i == 0 {
				t.Error("there was nothing to kill")
			}
			return
		}
		groups := groupsOf(c)
		all[i].kill()
		select {
		case err = <-ended:
		case <-time.After(patience):
			t.Errorf("the box waits for what was killed: %s", all[i])
			stop()
			err = <-ended
		}
		stop()
		if err == nil {
			t.Errorf("after %s: no error", all[i])
		}
		select {
		case <-b.Ready():
			t.Error("the door was opened")
		default:
		}
		allGone(t, all)
		noGroups(t, groups)
		nothingLeft(t, c, "", "")
	}
}

// inside reports whether there is a program in a control group.
func inside(c *Containers) bool {
	return slices.ContainsFunc(groupsOf(c), func(id string) bool {
		for _, folder := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/pids/" + id} {
			if text, _ := os.ReadFile(folder + "/cgroup.procs"); len(text) > 0 {
				return true
			}
		}
		return false
	})
}

// TestPartKilledStopping: whichever process is killed while the box lets requests
// finish, the box ends, and nothing is left.
func TestPartKilledStopping(t *testing.T) { underBoth(t, partKilledStopping) }

func partKilledStopping(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	for i := range most {
		b := serve(t, Config{Policy: parsed(t, isolated(withImage(digest, ""))), Containers: c})
		all := victims(c)
		if i >= len(all) {
			return
		}
		a, groups := b.asked(t), groupsOf(c)
		wait := b.held(t)
		b.stop()
		waitFor(t, "the closed door", func() bool { return slices.Contains(b.events.names(), Stopping) })
		all[i].kill()
		wait()
		err := <-b.done
		if b.done <- err; err != nil {
			t.Errorf("after %s: the box ended with %v", all[i], err)
		}
		a.right(t)
		if resp, err := b.client(t, "h2").Do(request(t, "GET", "/here", nil)); err == nil {
			resp.Body.Close()
			t.Errorf("the box has ended, and answers %s", resp.Status)
		}
		allGone(t, all)
		noGroups(t, groups)
		nothingLeft(t, c, "", "")
	}
}

// TestCommandKilled: whichever process of an operator's session is killed, the session
// ends, with all that it started; the app is not touched.
func TestCommandKilled(t *testing.T) {
	c, digest := contained(t)
	b := serve(t, Config{Policy: parsed(t, withImage(digest, withOperators(everything))), Containers: c})
	before := parts(c)
	for _, name := range []string{" exec ", "/app stay"} {
		a := b.asked(t)
		s := b.operates(t, oncallKey, "exec", func(s *stream) { s.send(operate.Start, "/app\x00stay") })
		s.until("here")
		var session []part
		waitFor(t, "the session", func() bool {
			session = slices.DeleteFunc(parts(c), func(p part) bool { return slices.Contains(before, p) })
			return slices.ContainsFunc(session, func(p part) bool { return strings.Contains(p.line, "stubborn") })
		})
		at := slices.IndexFunc(session, func(p part) bool { return strings.Contains(p.line, name) })
		if at < 0 {
			t.Fatalf("no %q in %v", name, session)
		}
		session[at].kill()
		if s.end(); s.code != 128+int(syscall.SIGKILL) {
			t.Errorf("after %s: exit code %d, %q", session[at], s.code, s.reason)
		}
		allGone(t, session)
		served := a.so()
		waitFor(t, "answers", func() bool { return a.so() > served })
		a.right(t)
		if now := parts(c); !slices.Equal(now, before) || b.exits() != 0 {
			t.Errorf("after %s: there are %v, expected %v; events %q", session[at], now, before, b.events.names())
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + cgroup(t, c) + "/op-*"); len(left) > 0 {
			t.Errorf("left of the session: %q", left)
		}
	}
}
