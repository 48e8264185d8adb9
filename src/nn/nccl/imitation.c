// NCCL's functions for the tests of src/nn/nccl.rs.
#include <stddef.h>
#include <stdio.h>
typedef struct { unsigned char bytes[128]; } Id;
typedef struct { int ranks, rank, gpu; } Communicator;
static Communicator made;
static int gpu = -1;
int cudaSetDevice(int wanted) { gpu = wanted; return wanted > 7 ? 101 : 0; }
int cudaDeviceGetPCIBusId(char *text, int room, int of) { return snprintf(text, room, "0000:%02x:00.0", of) < 0; }
int ncclGetUniqueId(Id *id) { for (int i = 0; i < 128; ++i) id->bytes[i] = i; return 0; }
int ncclCommInitRank(Communicator **out, int ranks, Id id, int rank) {
    for (int i = 0; i < 128; ++i) if (id.bytes[i] != i) return 4;
    made = (Communicator){ranks, rank, gpu};
    *out = &made;
    return rank < ranks ? 0 : 4;
}
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, Communicator *of, void *stream) {
    if (operation || stream || of->gpu != gpu || count > 1000) return 5;
    for (size_t i = 0; i < count; ++i)
        if (type == 7) ((float *)to)[i] = ((const float *)from)[i] * of->ranks;
        else ((double *)to)[i] = ((const double *)from)[i] * of->ranks;
    return 0;
}
const char *ncclGetErrorString(int code) { return code == 4 ? "invalid argument" : "invalid usage"; }
