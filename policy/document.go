package policy

import (
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// The types below are box.yaml as it is written, and the one table of what may
// be written: the parser, the JSON Schema for editors and the reference for
// people are all made from them. The tags say:
//
//	yaml    the key, and whether it is required
//	form    the row of forms that the value, or each value of a list, must fit
//	keys    the same for the keys of a mapping
//	one     on Pos: exactly one of these keys
//	atmost  on Pos: at most one of these keys
//	doc     what it means
//
// Every value that is checked after reading knows its place.
type document struct {
	Pos       strictyaml.Pos                   `one:"app models|store"`
	Version   strictyaml.At[int]               `yaml:"version" form:"version" doc:"Version of this format."`
	Name      text                             `yaml:"name,required" form:"name" doc:"Name of the box, for people. Nothing is decided by it."`
	App       *appDoc                          `yaml:"app" doc:"The program that answers requests."`
	Services  []serviceDoc                     `yaml:"services" doc:"Programs beside the app, each from an image of its own, in a private network with it: see docs/compose.md. They start in this order, and the app last."`
	Models    []modelDoc                       `yaml:"models" doc:"Models that the box runs itself: ONNX files, or files that blindbox model pack makes of folders."`
	Store     *storeDoc                        `yaml:"store" doc:"Lets callers bring ONNX models that the box runs itself. Without it nobody can."`
	Callers   []callerDoc                      `yaml:"callers" doc:"Who may call, and do what. Without it nobody may."`
	Cedar     strictyaml.Block                 `yaml:"cedar" doc:"Policies in the Cedar language, added to what callers compile to. A forbid wins over every permit."`
	Egress    strictyaml.OrNone[egressDoc]     `yaml:"egress" doc:"Where the app may connect to. Without it nowhere; a plain process connects anywhere, and does not start with this key."`
	Files     *filesDoc                        `yaml:"files" doc:"What the app may write to; it has to be from an image. Everything else is read-only, and nothing outlives the box."`
	Limits    *limitsDoc                       `yaml:"limits" doc:"Bounds on what callers and the app can take."`
	Logs      text                             `yaml:"logs" form:"logs" doc:"What is told about requests: nothing, how many answers of each kind there were and how many runs of models were shared, or what the app prints, sealed for one recipient. Without it none."`
	Audit     text                             `yaml:"audit" form:"audit" doc:"Who keeps the log of what was decided about each request: the box, in memory, for callers that may observe, or the host too, which then knows who calls when. Without it box."`
	Operators strictyaml.OrNone[[]operatorDoc] `yaml:"operators" doc:"Who may do what to the running box: see docs/operators.md. Without it nobody has a way in."`
	Platforms []text                           `yaml:"platforms" form:"platform" doc:"The kinds of hardware that the box may run on. Without it any real one."`
}

type text = strictyaml.At[string]

// scalar is a value that may be written as a number or in quotes.
type scalar string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *scalar) UnmarshalText(b []byte) error {
	*s = scalar(b)
	return nil
}

type appDoc struct {
	Pos          strictyaml.Pos
	Image        text                  `yaml:"image" form:"image" doc:"An OCI image: oci:PATH, or a registry reference. Without it, command runs as a plain process of the box."`
	Digest       text                  `yaml:"digest" form:"digest" doc:"SHA-256 over the image's manifest. Required with image; \"blindbox pin\" writes it."`
	Command      []text                `yaml:"command" form:"argument" doc:"The program and its arguments; there is no shell. Required without image, and replaces its entry point and command otherwise."`
	Env          map[string]text       `yaml:"env" keys:"env" form:"argument" doc:"The environment of the program, added to the image's."`
	Dir          text                  `yaml:"dir" form:"file" doc:"Where the program starts."`
	Listen       strictyaml.At[scalar] `yaml:"listen,required" form:"listen" doc:"Where the program accepts HTTP."`
	User         text                  `yaml:"user" form:"user" doc:"User and group id that the program runs as. Without it the image's, and never root."`
	Isolation    text                  `yaml:"isolation" form:"isolation" doc:"What runs the image, and those of services. Without it runc."`
	Capabilities []text                `yaml:"capabilities" form:"capability" doc:"Linux capabilities of the program. Without it none."`
	Actions      []actionDoc           `yaml:"actions" doc:"Which requests are which action, for what callers may do. The first that fits holds; what none fits is a query."`
}

type actionDoc struct {
	Pos    strictyaml.Pos
	Method text `yaml:"method" form:"method" doc:"The HTTP method. GET is HEAD as well. Without it all."`
	Path   text `yaml:"path,required" form:"path" doc:"The path: exact, or a prefix that ends in /*."`
	Is     text `yaml:"is,required" form:"deed" doc:"The action that such a request is."`
}

type serviceDoc struct {
	Pos          strictyaml.Pos
	Name         text               `yaml:"name,required" form:"service" doc:"The host name by which the app and the other services reach it."`
	Image        text               `yaml:"image,required" form:"image" doc:"An OCI image, as the app's."`
	Digest       text               `yaml:"digest,required" form:"digest" doc:"SHA-256 over the image's manifest."`
	Command      []text             `yaml:"command" form:"argument" doc:"The program and its arguments. Without it the image's own."`
	Env          map[string]text    `yaml:"env" keys:"env" form:"argument" doc:"The environment of the program, added to the image's."`
	Dir          text               `yaml:"dir" form:"file" doc:"Where the program starts."`
	Listen       strictyaml.At[int] `yaml:"listen" form:"port" doc:"The TCP port at which it accepts connections from the others. What stands behind it starts when it does. Without it nothing waits."`
	User         text               `yaml:"user" form:"user" doc:"User and group id that the program runs as. Without it the image's, and never root."`
	Capabilities []text             `yaml:"capabilities" form:"capability" doc:"Linux capabilities of the program. Without it none."`
	Files        *filesDoc          `yaml:"files" doc:"What the service may write to. Everything else is read-only, and nothing outlives the box."`
	Limits       *serviceLimitsDoc  `yaml:"limits" doc:"Bounds on what the service can take, beside the app's own."`
}

type serviceLimitsDoc struct {
	Pos       strictyaml.Pos
	Memory    text                  `yaml:"memory" form:"size" doc:"The service's memory, what it wrote to files included. Without it 1GiB."`
	PIDs      strictyaml.At[int]    `yaml:"pids" form:"pids" doc:"The service's processes and threads. Without it 256."`
	CPU       strictyaml.At[scalar] `yaml:"cpu" form:"cpu" doc:"Processors, up to three digits after the point. Without it all of the box."`
	OpenFiles strictyaml.At[int]    `yaml:"open_files" form:"open_files" doc:"Open files of each process. Without it 1024."`
}

type modelDoc struct {
	Pos     strictyaml.Pos `one:"builtin path"`
	Name    text           `yaml:"name,required" form:"name" doc:"The model's name in request paths."`
	Builtin text           `yaml:"builtin" form:"name" doc:"The name of a model that is part of the box's program."`
	Path    text           `yaml:"path" form:"file" doc:"The file that holds the model. Needs sha256."`
	SHA256  text           `yaml:"sha256" form:"digest" doc:"SHA-256 over the model's bytes."`
	Batch   *batchDoc      `yaml:"batch" doc:"Lets requests of several callers share a run, for a model that is known to treat each row of its inputs by itself. Without it each has its own."`
}

type batchDoc struct {
	Pos  strictyaml.Pos
	Rows strictyaml.At[int]           `yaml:"rows,required" form:"rows" doc:"How many rows one run may have, of all its requests together. A request with more has its own."`
	Wait strictyaml.At[time.Duration] `yaml:"wait" form:"wait" doc:"How long a request that could run waits for others. Without it only those that wait already share a run."`
}

type storeDoc struct {
	Pos    strictyaml.Pos
	Memory text      `yaml:"memory,required" form:"size" doc:"Of all callers' models that are ready to run, together."`
	Disk   text      `yaml:"disk" form:"size" doc:"Of all callers' models on storage of the host, sealed: where models are that are not ready, and where they outlive a crash of the box's program. Without it models are in memory alone, and a full box takes no more."`
	Owner  *ownerDoc `yaml:"owner" doc:"What one caller may have of it."`
	Load   *loadDoc  `yaml:"load" doc:"What making one model ready may take."`
}

type ownerDoc struct {
	Pos    strictyaml.Pos
	Bytes  text               `yaml:"bytes" form:"size" doc:"Of the caller's model files, and without a disk of the memory that they take. Without it a quarter of what the store holds, and at most half of its memory."`
	Models strictyaml.At[int] `yaml:"models" form:"models" doc:"The caller's models. Without it 100."`
	Loads  strictyaml.At[int] `yaml:"loads" form:"loads" doc:"The caller's uploads and loads at once. Without it 2."`
}

type loadDoc struct {
	Pos  strictyaml.Pos
	Time strictyaml.At[time.Duration] `yaml:"time" form:"duration" doc:"To read a model and make it ready, once its bytes are there. Without it 2m."`
}

type callerDoc struct {
	Pos         strictyaml.Pos        `one:"api_key certificate oidc attested anyone"`
	Name        text                  `yaml:"name" form:"name" doc:"What the app and Cedar call the caller."`
	APIKey      text                  `yaml:"api_key" form:"digest" doc:"SHA-256 over the caller's API key."`
	Certificate *certificateDoc       `yaml:"certificate" doc:"A TLS client certificate."`
	OIDC        text                  `yaml:"oidc" form:"url" doc:"A token of this identity provider, by its issuer URL."`
	Audience    text                  `yaml:"audience" form:"label" doc:"The audience that the token must have. Required with oidc."`
	Claim       map[string]text       `yaml:"claim" keys:"label" form:"label" doc:"Claims that the token must have, with exactly these values."`
	Attested    *attestedDoc          `yaml:"attested" doc:"Another box, by its reference values."`
	Anyone      strictyaml.At[bool]   `yaml:"anyone" doc:"Whoever reaches the box and shows nothing else; only true."`
	Expires     strictyaml.At[scalar] `yaml:"expires" form:"time" doc:"From when on the caller is known no longer."`
	May         []text                `yaml:"may" form:"action" doc:"What the caller may do. Required unless there is cedar."`
	Methods     []text                `yaml:"methods" form:"method" doc:"HTTP methods that the caller may use. Without it all."`
	Paths       []text                `yaml:"paths" form:"path" doc:"Paths that the caller may use: exact, or a prefix that ends in /*. Without it all."`
	Models      []text                `yaml:"models" form:"model" doc:"Models that the caller may use: by name, or CALLER~NAME for those that callers bring, the caller's own too. Without it all."`
	Rate        text                  `yaml:"rate" form:"budget" doc:"Requests in a short time."`
	Quota       *quotaDoc             `yaml:"quota" doc:"What the caller may use in a long time."`
}

type certificateDoc struct {
	Pos     strictyaml.Pos `atmost:"spiffe subject"`
	CA      text           `yaml:"ca,required" form:"digest" doc:"SHA-256 over the DER of the certificate authority's certificate."`
	SPIFFE  text           `yaml:"spiffe" form:"spiffe" doc:"The SPIFFE id in the certificate."`
	Subject text           `yaml:"subject" form:"label" doc:"The common name in the certificate."`
}

type attestedDoc struct {
	Pos         strictyaml.Pos
	Kind        text `yaml:"kind,required" form:"platform" doc:"The hardware of the other box."`
	Measurement text `yaml:"measurement,required" form:"measurement" doc:"The code of the other box: what its hardware measured at launch."`
	Policy      text `yaml:"policy,required" form:"digest" doc:"SHA-256 over the other box's policy."`
	Root        text `yaml:"simulated_root" form:"digest" doc:"For kind sim-sev-snp alone, and required there: SHA-256 over the certificate of the simulated root. Whoever holds its key can claim to be that box."`
}

type quotaDoc struct {
	Pos      strictyaml.Pos
	Requests text `yaml:"requests" form:"budget" doc:"Requests."`
	Bytes    text `yaml:"bytes" form:"bytes" doc:"Bytes of requests and answers together."`
}

type egressDoc struct {
	Pos         strictyaml.Pos
	Allow       []destinationDoc   `yaml:"allow,required" doc:"Every destination there is."`
	Connections strictyaml.At[int] `yaml:"connections" form:"connections" doc:"How many connections may be open at once. Without it 64."`
	Rate        text               `yaml:"rate" form:"bytes" doc:"Bytes in a short time, both directions together."`
	Bytes       text               `yaml:"bytes" form:"bytes" doc:"Bytes in a long time, both directions together."`
}

type destinationDoc struct {
	Pos     strictyaml.Pos
	Host    text                `yaml:"host,required" form:"host" doc:"A name, *. and a name (exactly one label more), or an IP address."`
	Port    strictyaml.At[int]  `yaml:"port,required" form:"port" doc:"The TCP port."`
	TLS     text                `yaml:"tls" form:"tls" doc:"What the connection must be: any asks nothing, pass asks for TLS with this server name, verify also for a certificate that is valid for it. Without it pass for names on port 443, and any otherwise."`
	Private strictyaml.At[bool] `yaml:"private" doc:"Whether the host may be, or resolve to, a private, link-local or loopback address. Without it not."`
}

type filesDoc struct {
	Pos      strictyaml.Pos
	Tmp      text          `yaml:"tmp" form:"size" doc:"Size of /tmp, in memory. Without it there is none."`
	Writable []writableDoc `yaml:"writable" doc:"Further empty places, in memory."`
}

type writableDoc struct {
	Pos  strictyaml.Pos
	Path text `yaml:"path,required" form:"file" doc:"Where it is: a folder that holds no file in the image, or is not there."`
	Size text `yaml:"size,required" form:"size" doc:"How much it holds."`
}

type limitsDoc struct {
	Pos        strictyaml.Pos
	Memory     text                         `yaml:"memory" form:"size" doc:"The app's memory, what it wrote to files included. With an image 1GiB without it."`
	PIDs       strictyaml.At[int]           `yaml:"pids" form:"pids" doc:"The app's processes and threads. With an image 256 without it."`
	CPU        strictyaml.At[scalar]        `yaml:"cpu" form:"cpu" doc:"Processors, up to three digits after the point. Without it all of the box."`
	OpenFiles  strictyaml.At[int]           `yaml:"open_files" form:"open_files" doc:"Open files of each process. With an image 1024 without it."`
	Request    text                         `yaml:"request" form:"size" doc:"The largest request body. Without it 1MiB, and 20MiB where the box runs models."`
	Response   text                         `yaml:"response" form:"size" doc:"The largest answer body. Without it every size is passed on."`
	Concurrent strictyaml.At[int]           `yaml:"concurrent" form:"concurrent" doc:"Requests served at once, in total. Without it 16."`
	Time       strictyaml.At[time.Duration] `yaml:"time" form:"duration" doc:"How long a request may last in all. Without it only idle bounds it."`
	Idle       strictyaml.At[time.Duration] `yaml:"idle" form:"duration" doc:"How long a request may last without a byte in either direction. Without it 5m."`
}
