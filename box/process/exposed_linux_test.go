package process

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

// Lines as Linux writes them.
const (
	head      = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	loop4     = "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	loop8     = "   0: 0800007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	any4      = "   1: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	lan4      = "   1: 0A00020A:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	otherPort = "   1: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	connected = "   2: 0A00020A:1F40 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	any6      = "   0: 00000000000000000000000000000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	loop6     = "   0: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
	mapped4   = "   0: 0000000000000000FFFF00000100007F:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
)

func TestExposedIn(t *testing.T) {
	for name, c := range map[string]struct{ table, want string }{
		"loopback":        {head + loop4 + loop8, ""},
		"IPv6 loopback":   {head + loop6 + mapped4, ""},
		"every address":   {head + loop4 + any4, "0.0.0.0:8000"},
		"one address":     {head + lan4, "10.2.0.10:8000"},
		"every address 6": {head + any6, "[::]:8000"},
		"another port":    {head + loop4 + otherPort, ""},
		"a connection":    {head + loop4 + connected, ""},
		"nothing":         {head, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := exposedIn(strings.NewReader(c.table), 8000); got != c.want || err != nil {
				t.Errorf("got %q, %v; expected %q", got, err, c.want)
			}
		})
	}
	for _, bad := range []string{"0100007F", "0100007F:XX", "01:1F40", "zz00007F:1F40"} {
		if got, err := exposedIn(strings.NewReader(strings.Replace(loop4, "0100007F:1F40", bad, 1)), 8000); err == nil {
			t.Errorf("%s: %q and no error", bad, got)
		}
	}
}

// TestAppReachableAroundTheBox: an app that answers at every address of the
// machine answers strangers too, and is not served.
func TestAppReachableAroundTheBox(t *testing.T) {
	// Systems give out none of these ports by themselves, so that a free one stays free.
	port := 3100 + rand.IntN(1000)
	for l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); ; l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)) {
		if err == nil {
			l.Close()
			break
		}
		port++
	}
	start := func(listen string) error {
		p := app(t, "serve", "LISTEN", listen+":"+strconv.Itoa(port))
		p.Listen = "127.0.0.1:" + strconv.Itoa(port)
		a := New(p, config(nil))
		t.Cleanup(a.Stop)
		return a.Start(t.Context())
	}
	if err := start("0.0.0.0"); err == nil || !strings.Contains(err.Error(), "around the box") {
		t.Errorf("at every address: %v", err)
	}
	if err := start("127.0.0.1"); err != nil {
		t.Errorf("at loopback: %v", err)
	}
}

// TestAccount: the app runs as somebody who owns nothing, in no further group,
// and cannot come back.
func TestAccount(t *testing.T) {
	if !isRoot() {
		t.Skip("only root can give the app another account")
	}
	file := t.TempDir() + "/status"
	if err := openToAll(file); err != nil {
		t.Fatal(err)
	}
	cfg := config(nil)
	cfg.Account = &Account{UID: 65534, GID: 65533}
	a := New(&policy.App{
		Command: []string{"/bin/sh", "-c", "cat /proc/self/status > " + file + "; echo done >> " + file},
		Listen:  "unix:/nowhere.sock",
	}, cfg)
	if err := a.Start(t.Context()); err == nil {
		t.Fatal("an app that only writes a file has started")
	}
	status := readAll(t, file)
	for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65533\t65533\t65533\t65533\n", "Groups:\t \n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n", "done\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}

func TestRootIsNoAccount(t *testing.T) {
	for _, account := range []*Account{{}, {UID: 1}, {GID: 1}} {
		cfg := config(nil)
		cfg.Account = account
		if err := New(app(t, "serve"), cfg).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "root is no account") {
			t.Errorf("%+v: %v", *account, err)
		}
	}
}

func isRoot() bool { return os.Geteuid() == 0 }

// openToAll makes an empty file that any account can write, and the way to it.
func openToAll(file string) error {
	for dir := filepath.Dir(file); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	return os.Chmod(file, 0o666)
}

func readAll(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFilesOfOthers: what was open when we were started is not handed on.
func TestFilesOfOthers(t *testing.T) {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], 0); err != nil { // no O_CLOEXEC, as an inherited one
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(pipe[0]); syscall.Close(pipe[1]) })
	cmd := exec.Command("/bin/sh", "-c", "ls /proc/self/fd")
	var out strings.Builder
	cmd.Stdout = &out
	setGroup(cmd)
	p, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	<-p.gone
	for _, fd := range pipe {
		if slices.Contains(strings.Fields(out.String()), strconv.Itoa(fd)) {
			t.Errorf("the app has file %d of %v: %q", fd, pipe, out.String())
		}
	}
}
