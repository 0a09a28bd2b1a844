# t2_cuda_host: the CUDA backend compiled for the host, against the headers of native/cuda/host: threads of a block are fibres, and cuBLASLt
# and cuSOLVER are host functions. For tests where there is no GPU; built instead of the addon when T2_CUDA_HOST is on.
file(GLOB cuda_sources CONFIGURE_DEPENDS native/cuda/*.cu)
# Opens NVIDIA's libraries; host/libraries.cpp is in its place.
list(REMOVE_ITEM cuda_sources "${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/libraries.cu")
file(GLOB cuda_host_sources CONFIGURE_DEPENDS native/cuda/host/*.cpp)

add_library(t2_cuda_host SHARED ${cuda_sources} ${cuda_host_sources})
# CMake knows .cu as a language of its own, which only nvcc speaks.
set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++;-O2")
target_compile_definitions(t2_cuda_host PRIVATE T2_CUDA_HOST)
target_include_directories(t2_cuda_host PRIVATE native/cuda/host native/include native/cuda native)
# -Wno-unknown-pragmas: nvcc's. -Wno-restrict: GCC 12 is wrong about strings (bug 105329). -g1: lines in reports of the emulation.
target_compile_options(t2_cuda_host PRIVATE -Wall -Wextra -Wno-unknown-pragmas -Wno-restrict -fno-math-errno -g1 ${T2_BASELINE_FLAGS})
target_link_libraries(t2_cuda_host PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(t2_cuda_host PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # nodelete: handlers and thread-local state outlive the last one who closes the library.
  target_link_options(
    t2_cuda_host PRIVATE -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/cuda-host-exports.map -Wl,-z,nodelete -Wl,-z,relro,-z,now
    -Wl,--no-undefined -static-libstdc++ -static-libgcc)
  set_target_properties(t2_cuda_host PROPERTIES LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/cuda-host-exports.map")
endif()
