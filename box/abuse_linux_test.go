package box

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/examples/tumour"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/policy"
)

// boxMain is a box in a process of its own, whose policy is abuseDoc. FILE_LIMIT is as
// many bytes as a file of it can have.
func boxMain() {
	if limit, err := strconv.ParseUint(os.Getenv("FILE_LIMIT"), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
	if err := runBox(); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}

func runBox() error {
	p, err := policy.Parse([]byte(abuseDoc(", disk: 16MiB")))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: l, Builtin: tumours(),
		Store: Store{Folder: os.Getenv("STORE"), State: os.Getenv("STATE")}})
	if err != nil {
		return err
	}
	go func() {
		<-b.Ready()
		fmt.Println("ready", l.Addr())
	}()
	return b.Serve(context.Background())
}

// mortal is such a box, and folders that outlive it.
type mortal struct {
	folder, state string
	limit         string
	cmd           *exec.Cmd
	*running
}

// start starts the box, with what is in its folders.
func (p *mortal) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), "APP=box", "STORE="+p.folder, "STATE="+p.state, "FILE_LIMIT="+p.limit)
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ready {
		t.Fatalf("the box says %q, %v", line, err)
	}
	p.running = &running{Box: &Box{policy: parsed(t, abuseDoc(", disk: 16MiB"))}, addr: addr}
}

// kill is kill -9. It can be said again.
func (p *mortal) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *mortal) acme(t *testing.T) *visitor { return &visitor{p.client(t, "h2"), acmeKey} }

// nothingStray checks that there is one sealed file for each of so many models.
func (p *mortal) nothingStray(t *testing.T, files int) {
	t.Helper()
	all, err := os.ReadDir(p.folder)
	if err != nil || len(all) != files || slices.ContainsFunc(all, func(e os.DirEntry) bool { return !strings.HasSuffix(e.Name(), ".sealed") }) {
		t.Errorf("%v in the folder, %v; expected %d sealed files", all, err, files)
	}
}

// TestKilledBox: a box that is killed in the middle of an upload, an eviction or a delete
// has each model that it has acknowledged when it is there again, none by half, and no
// file that is nobody's.
func TestKilledBox(t *testing.T) {
	p := &mortal{folder: t.TempDir(), state: t.TempDir()}
	p.start(t)
	acme := p.acme(t)
	acme.push(t, "kept", changed(1))
	acme.push(t, "deleted", changed(2))
	acme.want(t, 200, `"left":`, "DELETE", "/v2/repository/models/deleted", nil)

	in, out := io.Pipe() // in the middle of an upload
	go func() {
		r := request(t, "POST", "/v2/repository/uploads?name=half", in)
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		if resp, err := acme.Do(r); err == nil {
			resp.Body.Close()
		}
	}()
	if _, err := out.Write(tumour.Model()[:1000]); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a file on its way", func() bool {
		parts, _ := filepath.Glob(filepath.Join(p.folder, "*.part"))
		return len(parts) == 1
	})
	p.kill()
	out.CloseWithError(io.ErrClosedPipe)
	p.start(t)
	acme = p.acme(t)
	p.nothingStray(t, 1)
	acme.runs(t, "kept")
	for _, name := range []string{"deleted", "half"} {
		acme.want(t, 404, "no model", "GET", "/v2/models/"+name, nil)
	}

	for i := range 4 { // at any moment of what changes the catalog and the disk
		there, gone := p.churned(t, acme, time.Duration(i)*11*time.Millisecond)
		p.start(t)
		acme = p.acme(t)
		list, err := acme.pusher(t).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]bool{}
		for _, m := range list {
			if m.Owner == "acme" {
				files[m.ID] = true
				acme.runs(t, m.Name)
			}
		}
		p.nothingStray(t, len(files))
		for name, want := range map[string]int{"kept": 200, there: 200, gone: 404} {
			if name != "" {
				acme.want(t, want, "", "GET", "/v2/models/"+name, nil)
			}
		}
	}
}

// churned uploads, evicts and deletes until the box is killed, and says which model was
// the last that it has acknowledged, if none was being deleted, and which the last whose
// end it has.
func (p *mortal) churned(t *testing.T, acme *visitor, after time.Duration) (there, gone string) {
	var all sync.WaitGroup
	began := make(chan struct{})
	all.Go(func() {
		c := acme.pusher(t)
		for i := 0; ; i++ {
			name, file := fmt.Sprint("m", i), changed(100+i)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := c.Push(ctx, bytes.NewReader(file), int64(len(file)), models.Spec{Name: name}, nil)
			cancel()
			if err != nil {
				return
			}
			there = name
			if i == 0 {
				close(began)
			}
			if _, err := c.Unload(context.Background(), name, ""); err != nil {
				return
			}
			there = ""
			if _, err := c.Delete(context.Background(), name, ""); err != nil {
				return
			}
			gone = name
		}
	})
	<-began
	time.Sleep(after)
	p.kill()
	all.Wait()
	return there, gone
}

// TestFullDisk: a disk that ends in the middle of a file takes no model, says so, and
// leaves what there is.
func TestFullDisk(t *testing.T) {
	p := &mortal{folder: t.TempDir(), state: t.TempDir(), limit: "100000"}
	p.start(t)
	acme := p.acme(t)
	acme.push(t, "small", tumour.Model())
	large := append(tumour.Model(), pb.Str(6, strings.Repeat("x", 200_000))...)
	sum := sha256.Sum256(large)
	if status, text := acme.do(t, "POST", "/v2/repository/uploads?name=large", bytes.NewReader(large)); status != 503 || !strings.Contains(text, "disk") {
		t.Errorf("%d %s", status, text)
	}
	acme.want(t, 404, "no model", "GET", fmt.Sprintf("/v2/models/sha256:%x", sum), nil)
	p.nothingStray(t, 1)
	acme.push(t, "another", changed(1))
	for _, name := range []string{"small", "another"} {
		acme.want(t, 200, "", "POST", "/v2/repository/models/"+name+"/unload", nil)
		acme.runs(t, name)
	}
}
