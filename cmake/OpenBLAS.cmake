# t2_openblas: the BLAS and LAPACK behind native/cpu/blas.h. Measured in docs/performance.md: the two sources are equally fast.
set(T2_OPENBLAS system CACHE STRING "Where OpenBLAS comes from: system or wheel")
set_property(CACHE T2_OPENBLAS PROPERTY STRINGS system wheel)
add_library(t2_openblas INTERFACE)

if(T2_OPENBLAS STREQUAL "wheel")
  # Shared libraries with scipy_ before every symbol; they travel beside the addon, which looks for them in its own folder.
  set(wheel_root "${CMAKE_SOURCE_DIR}/third_party/openblas/scipy_openblas32/lib")
  file(GLOB wheel_libraries "${wheel_root}/*.so*" "${wheel_root}/*.dylib")
  if(NOT wheel_libraries)
    message(FATAL_ERROR "T2_OPENBLAS=wheel, but third_party/openblas holds no library: run node scripts/setup.mjs --openblas wheel")
  endif()
  target_compile_definitions(t2_openblas INTERFACE T2_BLAS_PREFIX=scipy_)
  find_library(T2_OPENBLAS_WHEEL scipy_openblas PATHS "${wheel_root}" NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(t2_openblas INTERFACE "${T2_OPENBLAS_WHEEL}")
  set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
  set(CMAKE_INSTALL_RPATH "$<IF:$<PLATFORM_ID:Darwin>,@loader_path,$ORIGIN>")
  file(COPY ${wheel_libraries} DESTINATION "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}")
elseif(T2_OPENBLAS STREQUAL "system")
  # Static first: one self-contained file of about 26 MB, nothing to find at run time, and no clash with another OpenBLAS in the process.
  find_library(T2_OPENBLAS_STATIC libopenblas.a PATH_SUFFIXES openblas-pthread openblas)
  find_library(T2_OPENBLAS_SHARED openblas PATH_SUFFIXES openblas-pthread openblas PATHS /opt/homebrew/opt/openblas/lib /usr/local/opt/openblas/lib)
  if(T2_OPENBLAS_STATIC AND NOT T2_OPENBLAS_STATIC_LINKS)
    # Does it link into a shared object with no Fortran run-time library? blas_fortran.cpp has the one function LAPACK needs of it.
    set(CMAKE_TRY_COMPILE_TARGET_TYPE EXECUTABLE)
    try_compile(
      T2_OPENBLAS_STATIC_LINKS "${CMAKE_BINARY_DIR}/try-openblas"
      SOURCES "${CMAKE_SOURCE_DIR}/cmake/try-openblas.cpp" "${CMAKE_SOURCE_DIR}/native/cpu/blas_fortran.cpp"
      LINK_OPTIONS -shared -fPIC -Wl,--no-undefined
      LINK_LIBRARIES "${T2_OPENBLAS_STATIC}" Threads::Threads m
      OUTPUT_VARIABLE openblas_static_output)
    if(NOT T2_OPENBLAS_STATIC_LINKS)
      message(STATUS "${T2_OPENBLAS_STATIC} cannot be linked into an addon, the shared library is used instead:\n${openblas_static_output}")
    endif()
  endif()
  if(T2_OPENBLAS_STATIC AND T2_OPENBLAS_STATIC_LINKS)
    target_link_libraries(t2_openblas INTERFACE "${T2_OPENBLAS_STATIC}" m)
    set(used "${T2_OPENBLAS_STATIC}")
  elseif(T2_OPENBLAS_SHARED)
    target_link_libraries(t2_openblas INTERFACE "${T2_OPENBLAS_SHARED}")
    set(used "${T2_OPENBLAS_SHARED}")
  else()
    message(FATAL_ERROR "OpenBLAS was not found: install it (Debian: apt-get install libopenblas-dev), or run node scripts/setup.mjs, which says how.")
  endif()
  message(STATUS "OpenBLAS: ${used}")
else()
  message(FATAL_ERROR "T2_OPENBLAS must be system or wheel, but is \"${T2_OPENBLAS}\".")
endif()
