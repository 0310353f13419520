package box

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/garbage"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// chain is a model of so many MiB of weights: layers of 2048 x 2048, 16 MiB each, one
// after the other, and one smaller than that for the rest. Nodes come before weights, as
// in every file that the format's own library writes.
func chain(mib int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, seed))
	nodes, weights, last := [][]byte{}, [][]byte{}, "x"
	for i := 0; mib > 0; i++ {
		columns := min(mib, 16) * 128 // of 8 KiB each
		mib -= columns / 128
		raw := make([]byte, 2048*columns*4)
		for j := 0; j < len(raw); j += 4 { // from 0.0078 to 0.031
			raw[j], raw[j+1], raw[j+2], raw[j+3] = byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), 60
		}
		w, y := fmt.Sprint("w", i), fmt.Sprint("y", i)
		weights = append(weights, pb.Initializer(pb.Head(w, 1, 2048, int64(columns)), pb.Msg(9, raw)))
		nodes = append(nodes, pb.Node("", "MatMul", []string{last, w}, []string{y}))
		last = y
	}
	return pb.Model(slices.Concat(nodes, weights, [][]byte{pb.Input("x", 1, "n", 2048), pb.OpenOutput(last, 1)})...)
}

// storeBox is a box to which acme and other bring models.
func storeBox(b *testing.B, disk bool, memory int64, owner string) (*running, *wire) {
	b.Helper()
	b.Cleanup(garbage.Beside(memory).Stop) // as boxd
	more, at := "", Store{}
	if disk {
		more, at = ", disk: 8GiB", Store{Folder: b.TempDir(), State: b.TempDir()}
	}
	doc := "name: clinic\nmodels: [{name: tumour, builtin: tumour}]\nstore: {memory: " + fmt.Sprint(memory) + "B" + more + ", owner: {bytes: " + owner + ", models: 4000, loads: 4}}\n" +
		"callers:\n  - {name: acme, api_key: \"" + hash(acmeKey) + "\", may: [upload, delete, list, query]}\n" +
		"  - {name: other, api_key: \"" + hash(otherKey) + "\", may: [upload, delete, list, query]}\n"
	w := &wire{Listener: listen(b)}
	return serve(b, Config{Policy: parsed(b, doc), Builtin: tumours(), Store: at, Listener: w}), w
}

// wire counts what arrives, and lets no more through than a line does.
type wire struct {
	net.Listener
	arrived atomic.Int64
	line    int64 // bytes a second, of each connection; 0: as fast as it goes
}

func (w *wire) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wired{Conn: c, wire: w}, nil
}

type wired struct {
	net.Conn
	wire *wire
	free time.Time // when the line has passed on what was read
}

func (c *wired) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.arrived.Add(int64(n))
	if line := c.wire.line; line > 0 && n > 0 {
		if now := time.Now(); now.After(c.free) {
			c.free = now
		}
		c.free = c.free.Add(time.Duration(int64(n) * int64(time.Second) / line))
		if ahead := time.Until(c.free); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	return n, err
}

// BenchmarkUpload is a model of 256 MiB that goes through the gate into the store, in
// turns with the same bytes that are copied over TLS 1.3 to a server that keeps them: in
// memory of the length that was said, or in a file that is synced. The client of both is
// another process, so that this one's processor time is that of the box, or of the
// server, alone. "checked" is a copy as an upload is one: both ends hash it as well,
// beside their other work. On a line of 2.5 Gbit/s nothing is read faster than that.
func BenchmarkUpload(b *testing.B) {
	for _, c := range []struct {
		name string
		disk bool
		line int64
	}{{"memory", false, 0}, {"sealed", true, 0}, {"memory-line", false, 2500e6 / 8}, {"sealed-line", true, 2500e6 / 8}} {
		b.Run(c.name, func(b *testing.B) {
			box, wire := storeBox(b, c.disk, 1200<<20, "600MiB")
			peer := newCopies(b)
			wire.line, peer.line = c.line, c.line
			out := newSender(b, box.addr, peer.wire.Addr().String())
			plain := map[bool]string{false: "keep", true: "file"}[c.disk]
			var ours turns
			theirs := map[string]*turns{}
			var sent float64
			for _, what := range []string{"push", "delete", plain} { // what they take of the machine was used before
				out.do(what)
			}
			peer.forget(b)
			for b.Loop() {
				before := wire.arrived.Load()
				ours.take(b, func() { out.do("push") })
				sent = float64(wire.arrived.Load()-before) / float64(out.size)
				out.do("delete")
				for _, what := range []string{plain, "check"} {
					if theirs[what] == nil {
						theirs[what] = &turns{}
					}
					theirs[what].take(b, func() { out.do(what) })
					peer.forget(b)
				}
			}
			b.ReportMetric(ours.rate(out.size), "MB/s-box")
			b.ReportMetric(theirs[plain].rate(out.size), "MB/s-copy")
			b.ReportMetric(theirs[plain].by(&ours), "x-copy")
			b.ReportMetric(theirs["check"].by(&ours), "x-checked")
			b.ReportMetric(middle(ours.work), "s-box-alone")
			b.ReportMetric(middle(theirs[plain].work), "s-copy-alone")
			b.ReportMetric(middle(theirs["check"].work), "s-checked-alone")
			b.ReportMetric(sent, "x-bytes")
		})
	}
}

// turns is how long something took, and what of a processor this process used for it.
type turns struct{ took, work []float64 }

func (t *turns) take(b *testing.B, do func()) {
	before, began := processorTime(b), time.Now()
	do()
	t.took, t.work = append(t.took, time.Since(began).Seconds()), append(t.work, (processorTime(b)-before).Seconds())
}

func (t *turns) rate(size int64) float64 { return float64(size) / 1e6 / middle(t.took) }

// by is how many times as long as these the others took, turn by turn.
func (t *turns) by(others *turns) float64 {
	ratios := make([]float64, len(t.took))
	for i := range ratios {
		ratios[i] = t.took[i] / others.took[i]
	}
	return middle(ratios)
}

// sender is the client, in a process of its own. It does what a line of its input says,
// and answers with a line when that is done.
type sender struct {
	b    *testing.B
	in   io.Writer
	out  *bufio.Reader
	size int64
}

func newSender(b *testing.B, box, peer string) *sender {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), "APP=uploads", "BOX="+box, "PEER="+peer)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	o := &sender{b: b, in: in, out: bufio.NewReader(out)}
	if _, err := fmt.Fscanln(o.out, &o.size); err != nil {
		b.Fatal(err)
	}
	return o
}

func (o *sender) do(what string) {
	o.b.Helper()
	if _, err := fmt.Fprintln(o.in, what); err != nil {
		o.b.Fatal(err)
	}
	if said, err := o.out.ReadString('\n'); said != "done\n" || err != nil {
		o.b.Fatal(what, said, err)
	}
}

// uploadsMain is the other process. It sends models as `blindbox model push` does.
func uploadsMain() {
	file := chain(256, 1)
	gate, err := atls.NewClient(atls.ClientConfig{
		Kinds: []attest.Kind{attest.SimSNP}, NextProtos: []string{"http/1.1"}, Skew: time.Minute, // as package client for what is long
		Check: func(context.Context, atls.Presented) (any, error) { return true, nil },
	})
	if err != nil {
		os.Exit(9)
	}
	box := &models.Client{Base: &url.URL{Scheme: "https", Host: "box.example"}, Key: acmeKey, HTTP: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return gate.DialContext(ctx, network, os.Getenv("BOX"))
		},
		DisableCompression: true,
	}}
	fmt.Println(len(file))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch what := lines.Text(); what {
		case "push":
			_, err = box.Push(context.Background(), bytes.NewReader(file), int64(len(file)), models.Spec{Name: "m"}, nil)
		case "delete":
			_, err = box.Delete(context.Background(), "m", "")
		default:
			err = sendCopy(os.Getenv("PEER"), what, file)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(9)
		}
		fmt.Println("done")
	}
}

// copies takes bytes over TLS 1.3 and keeps them, as the line before them says.
type copies struct {
	*wire
	folder string
	kept   []byte
}

func newCopies(b *testing.B) *copies {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	b.Cleanup(srv.Close)
	s := &copies{wire: &wire{Listener: listen(b)}, folder: b.TempDir()}
	b.Cleanup(func() { s.Close() })
	l := tls.NewListener(s.wire, srv.TLS)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if sum, err := s.take(c); err == nil {
					_, _ = c.Write(sum)
				}
			}()
		}
	}()
	return s
}

// forget gives back what a copy took, as a box that deletes a model does.
func (s *copies) forget(b *testing.B) {
	s.kept = nil
	if err := os.RemoveAll(filepath.Join(s.folder, "copy")); err != nil {
		b.Fatal(err)
	}
}

// piece is how much of a copy is read, hashed or written at once.
const piece = 256 << 10

func (s *copies) take(c net.Conn) (sum []byte, err error) {
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint64(head[8:]))
	switch what := string(bytes.TrimRight(head[:8], " ")); what {
	case "keep":
		s.kept = make([]byte, size)
		_, err = io.ReadFull(c, s.kept)
	case "check":
		s.kept = make([]byte, size)
		sum, err = readHashed(c, s.kept)
	case "file":
		err = s.toFile(c, size)
	}
	return append(sum, 1), err
}

// readHashed fills p, and hashes it as it comes.
func readHashed(c io.Reader, p []byte) (sum []byte, err error) {
	read, done := make(chan []byte, len(p)/piece+1), make(chan struct{})
	h := sha256.New()
	go func() {
		defer close(done)
		for part := range read {
			h.Write(part)
		}
	}()
	for part := range slices.Chunk(p, piece) {
		if _, err = io.ReadFull(c, part); err != nil {
			break
		}
		read <- part
	}
	close(read)
	<-done
	return h.Sum(nil), err
}

func (s *copies) toFile(c io.Reader, size int64) error {
	f, err := os.Create(filepath.Join(s.folder, "copy"))
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(c, size), make([]byte, piece))
	return errors.Join(err, f.Sync(), f.Close())
}

// sendCopy sends a copy, and waits until it is kept.
func sendCopy(addr, what string, data []byte) error {
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err != nil {
		return err
	}
	defer c.Close()
	sum := make(chan []byte, 1)
	go func() {
		h := sha256.New()
		if what == "check" {
			h.Write(data)
		}
		sum <- h.Sum(nil)
	}()
	head := binary.BigEndian.AppendUint64(fmt.Appendf(nil, "%-8s", what), uint64(len(data)))
	if _, err := c.Write(head); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(c, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, piece)); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	said, err := io.ReadAll(c)
	if own := <-sum; err != nil || what == "check" && !bytes.HasPrefix(said, own) || len(said) == 0 {
		return fmt.Errorf("the copy is %x: %w", said, err)
	}
	return nil
}
