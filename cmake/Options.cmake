# t2_options: the compile and link flags every object of the addon shares.
set(T2_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined")

find_package(Threads REQUIRED)
add_library(t2_options INTERFACE)
target_compile_options(t2_options INTERFACE -Wall -Wextra)
target_link_libraries(t2_options INTERFACE Threads::Threads ${CMAKE_DL_LIBS})

# What is not compiled once per instruction set runs on every x86-64 since 2009.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(T2_X86_64 ON)
  set(T2_BASELINE_FLAGS -march=x86-64-v2)
  target_compile_options(t2_options INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:T2_ISA>>>:${T2_BASELINE_FLAGS}>)
endif()

if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_compile_options(t2_options INTERFACE -ffunction-sections -fdata-sections)
  # nodelete: Node unloads an addon when the last worker that loaded it ends; our threads and OpenBLAS's outlive that moment.
  target_link_options(
    t2_options INTERFACE -Wl,--gc-sections -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map -Wl,-z,nodelete -Wl,-z,relro,-z,now)
  if(NOT T2_SANITIZE)
    target_link_options(t2_options INTERFACE -static-libstdc++ -static-libgcc $<$<CONFIG:Release>:-s>)
  endif()
endif()

if(T2_SANITIZE)
  target_compile_options(t2_options INTERFACE -fsanitize=${T2_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined -g)
  target_link_options(t2_options INTERFACE -fsanitize=${T2_SANITIZE})
endif()
